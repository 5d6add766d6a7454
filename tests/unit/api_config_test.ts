import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { optionsOf, printable, readConfig } from "../../api/config.ts";

const DATABASE_URL = "postgres://user:hunter2@db/berth";
const BERTH_ADMIN_KEY = `berth_${"0".repeat(64)}`;

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
    ];
    for (const [name, env] of blamed) {
      assert.throws(() => readConfig(env), new RegExp(`Cannot start the api: ${name} `), name);
    }
  });
});

describe("printable()", () => {
  it("shows neither passwords nor keys", () => {
    const shown = JSON.stringify(printable(readConfig({ DATABASE_URL, BERTH_ADMIN_KEY })));
    assert.ok(shown.includes("db/berth") && !shown.includes("hunter2") && !shown.includes(BERTH_ADMIN_KEY));
  });
});
