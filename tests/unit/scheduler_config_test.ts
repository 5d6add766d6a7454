import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { printable, readConfig } from "../../scheduler/config.ts";

describe("readConfig()", () => {
  it("takes the address of a PostgreSQL database and nothing else", () => {
    assert.deepEqual(readConfig({ DATABASE_URL: "postgres://berth:pw@db:5432/berth", HOME: "/home/me" }), {
      DATABASE_URL: "postgres://berth:pw@db:5432/berth",
    });
  });

  it("names the variable that is missing or wrong", () => {
    const problem = /^Cannot start the scheduler: DATABASE_URL must be the URL of a PostgreSQL database/;
    for (const env of [{}, { DATABASE_URL: "mysql://db/berth" }, { DATABASE_URL: "" }]) {
      assert.throws(() => readConfig(env), { name: "TypeError", message: problem });
    }
  });
});

describe("printable()", () => {
  it("hides the password", () => {
    const shown = printable({ DATABASE_URL: "postgres://berth:secret@db/berth" });
    assert.ok(!JSON.stringify(shown).includes("secret"));
    assert.match(shown.DATABASE_URL!, /berth:.*@db/);
  });
});
