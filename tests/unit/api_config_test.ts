import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { optionsOf, printable, readConfig, secretKeysOf } from "../../api/config.ts";

const DATABASE_URL = "postgres://user:hunter2@db/berth";
const S3 = {
  S3_ENDPOINT: "https://s3.example/",
  S3_BUCKET: "models",
  S3_REGION: "eu-1",
  S3_ACCESS_KEY_ID: "AKIA",
  S3_SECRET_ACCESS_KEY: "sesame",
};
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
      ["S3_ENDPOINT", { DATABASE_URL, ...S3, S3_ENDPOINT: "s3.example" }],
      ["S3_PREFIX", { DATABASE_URL, ...S3, S3_PREFIX: "../elsewhere" }],
      ["S3_FORCE_PATH_STYLE", { DATABASE_URL, ...S3, S3_FORCE_PATH_STYLE: "perhaps" }],
      ["BERTH_SECRETS_KEY", { DATABASE_URL, BERTH_SECRETS_KEY: "c2hvcnQ=" }],
      ["BERTH_SECRETS_KEYS_OLD", { DATABASE_URL, BERTH_SECRETS_KEYS_OLD: `${keys[0]},c2hvcnQ=` }],
    ];
    for (const [name, env] of blamed) {
      assert.throws(() => readConfig(env), new RegExp(`Cannot start the api: ${name} `), name);
    }
  });
});

describe("optionsOf()", () => {
  it("puts blobs on S3 when all is said that this needs", () => {
    const s3 = (more: Record<string, string> = {}) =>
      optionsOf(readConfig({ DATABASE_URL, ...S3, ...more })).s3;
    assert.deepEqual(s3(), {
      endpoint: "https://s3.example",
      bucket: "models",
      region: "eu-1",
      accessKeyId: "AKIA",
      secretAccessKey: "sesame",
      prefix: "",
      forcePathStyle: true,
    });
    const { prefix, forcePathStyle } = s3({ S3_PREFIX: "team/berth", S3_FORCE_PATH_STYLE: "false" })!;
    assert.deepEqual([prefix, forcePathStyle], ["team/berth/", false]);
    assert.equal(optionsOf(readConfig({ DATABASE_URL, S3_PREFIX: "team/" })).s3, undefined);
  });

  it("names what is missing when S3 is named by halves", () => {
    const { S3_BUCKET: _, S3_REGION: __, ...half } = S3;
    assert.throws(
      () => optionsOf(readConfig({ DATABASE_URL, ...half })),
      /Cannot use S3: S3_ENDPOINT, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY are set, S3_BUCKET, S3_REGION are not/,
    );
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
    const shown = JSON.stringify(printable(readConfig({ DATABASE_URL, BERTH_ADMIN_KEY, ...S3, ...SECRETS })));
    assert.ok(shown.includes("db/berth") && shown.includes("s3.example"));
    for (const hidden of ["hunter2", BERTH_ADMIN_KEY, "sesame", ...keys]) {
      assert.ok(!shown.includes(hidden), hidden);
    }
  });
});
