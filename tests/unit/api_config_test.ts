import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { optionsOf, printable, readConfig, secretKeysOf } from "../../api/config.ts";

const DATABASE_URL = "postgres://user:hunter2@db/berth";
const BERTH_ADMIN_KEY = `berth_${"0".repeat(64)}`;
const keys = [1, 2, 3].map((byte) => new Uint8Array(32).fill(byte).toBase64());
const SECRETS = { BERTH_SECRETS_KEY: keys[0]!, BERTH_SECRETS_KEYS_OLD: `${keys[1]},${keys[2]},` };

describe("readConfig()", () => {
  it("needs a database and has a default for all else", () => {
    const { databaseUrl, hostname, port, adminKey } = optionsOf(readConfig({ DATABASE_URL }));
    assert.deepEqual([databaseUrl, hostname, port, adminKey], [DATABASE_URL, "127.0.0.1", 7878, undefined]);
  });

  it("names the variable to blame", () => {
    const blamed: [string, Record<string, string>][] = [
      ["DATABASE_URL", {}],
      ["DATABASE_URL", { DATABASE_URL: "mysql://db" }],
      ["BERTH_PORT", { DATABASE_URL, BERTH_PORT: "70000" }],
      ["BERTH_PORT", { DATABASE_URL, BERTH_PORT: "http" }],
      ["BERTH_PUBLIC_URL", { DATABASE_URL, BERTH_PUBLIC_URL: "berth.example" }],
      ["BERTH_ADMIN_KEY", { DATABASE_URL, BERTH_ADMIN_KEY: "berth_short" }],
      ["BERTH_SECRETS_KEY", { DATABASE_URL, BERTH_SECRETS_KEY: "c2hvcnQ=" }],
      ["BERTH_SECRETS_KEYS_OLD", { DATABASE_URL, BERTH_SECRETS_KEYS_OLD: `${keys[0]},c2hvcnQ=` }],
    ];
    for (const [name, env] of blamed) {
      assert.throws(() => readConfig(env), new RegExp(`Cannot start the api: ${name} `), name);
    }
  });
});

describe("secretKeysOf()", () => {
  it("has the newest key first, then the old ones", () => {
    assert.deepEqual(secretKeysOf(readConfig({ DATABASE_URL, ...SECRETS })), keys);
    assert.deepEqual(secretKeysOf(readConfig({ DATABASE_URL })), []);
  });
});

describe("printable()", () => {
  it("shows neither passwords nor keys", () => {
    const shown = JSON.stringify(printable(readConfig({ DATABASE_URL, BERTH_ADMIN_KEY, ...SECRETS })));
    assert.ok(shown.includes("db/berth") && !shown.includes("hunter2") && !shown.includes(BERTH_ADMIN_KEY));
    for (const key of keys) assert.ok(!shown.includes(key));
  });
});
