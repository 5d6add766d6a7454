import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { type HiddenTerminal, readHidden } from "../../sdk/cli/hidden_input.ts";
import { AT, refuse } from "../setup/fake_platform.ts";
import { ManualClock } from "../setup/manual_clock.ts";
import { type Answer, berth, json } from "../setup/shell.ts";

const clock = new ManualClock(Date.parse(AT));
const db = { name: "db", version: 2, keys: ["PASSWORD", "USER"], createdAt: AT, updatedAt: AT };
const answer: Answer = () => json(db);
const sent = async (args: string[], change = {}) => {
  const said = await berth(["secret", "set", "db", ...args], answer, change);
  assert.equal(said.code, 0, said.err);
  assert.equal(said.asked[0]!.path, "/v1/secrets/db");
  return { ...said, body: JSON.parse(said.asked[0]!.body) };
};

describe("berth secret set", () => {
  it("takes values from the command line, and shows none", async () => {
    const { body, out } = await sent(["USER=ann", "URL=postgres://x?a=b", "EMPTY="]);
    assert.deepEqual(body, { values: { USER: "ann", URL: "postgres://x?a=b", EMPTY: "" }, unset: [] });
    assert.equal(out, "db, version 2: PASSWORD, USER\n");
    assert.deepEqual(JSON.parse((await sent(["USER=ann", "--json"])).out), db);
  });

  it("takes them from a file or standard input, without the newline at the end", async () => {
    const file = await Deno.makeTempFile();
    await Deno.writeTextFile(file, "line 1\nline 2\n");
    const stdin = () => Promise.resolve("from a pipe\r\n");
    const { body } = await sent([`PEM=@${file}`, "PASSWORD=-"], { stdin });
    assert.deepEqual(body.values, { PEM: "line 1\nline 2", PASSWORD: "from a pipe" });
    await Deno.remove(file);
  });

  it("asks for a key without a value, and removes what is to be unset", async () => {
    const questions: string[] = [];
    const hidden = (question: string) => (questions.push(question), Promise.resolve("typed"));
    const { body } = await sent(["PASSWORD", "--unset", "USER", "URL"], { hidden });
    assert.deepEqual(body, { values: { PASSWORD: "typed" }, unset: ["USER", "URL"] });
    assert.deepEqual(questions, ["PASSWORD: "]);
  });

  it("refuses what it cannot use, and never repeats a value", async () => {
    const nobody = () => Promise.resolve(null);
    const cases: [args: string[], says: RegExp][] = [
      [[], /no value is given/],
      [["PASSWORD"], /no terminal.*\n.*PASSWORD=-/],
      [["A=hunter22", "A=hunter23"], /Cannot set A twice/],
      [["A=-", "B=-"], /two values from standard input/],
      [["A=@/nowhere/hunter2"], /no such file/],
    ];
    for (const [args, says] of cases) {
      const { code, err, asked } = await berth(["secret", "set", "db", ...args], answer, { hidden: nobody });
      assert.deepEqual([code, asked.length], [2, 0], err);
      assert.match(err, says);
      assert.ok(!/hunter2[23]/.test(err));
    }
  });
});

describe("berth secret", () => {
  it("lists secrets with their keys", async () => {
    const { out, asked } = await berth(["secret"], () => json({ items: [db] }), { clock });
    assert.equal(asked[0]!.path, "/v1/secrets?limit=50");
    assert.match(out, /^SECRET +VERSION +KEYS +CHANGED$/m);
    assert.match(out, /^db +2 +PASSWORD, USER +now$/m);
    const { out: text } = await berth(["secret", "ls", "--json"], () => json({ items: [db] }));
    assert.deepEqual(JSON.parse(text), { items: [db] });
  });

  it("deletes one, by force if need be, and passes on why not", async () => {
    const { out, asked } = await berth(["secret", "rm", "db"], () => json({ secret: "db" }));
    assert.deepEqual([out, asked[0]!.method, asked[0]!.path], ["db deleted\n", "DELETE", "/v1/secrets/db"]);
    const forced = await berth(["secret", "rm", "db", "--force", "--json"], () => json({ secret: "db" }));
    assert.equal(forced.asked[0]!.path, "/v1/secrets/db?force=true");
    assert.deepEqual(JSON.parse(forced.out), { secret: "db" });
    const { code, err } = await berth(["secret", "rm", "db"], refuse("conflict", "Cannot delete it", 409));
    assert.equal(code, 3);
    assert.match(err, /Cannot delete it/);
  });

  it("seals anew", async () => {
    const done = { resealed: 3, keyId: "0123456789abcdef" };
    const { out, asked } = await berth(["secret", "reseal"], () => json(done));
    assert.deepEqual([asked[0]!.method, asked[0]!.path], ["POST", "/v1/sealing/reseal"]);
    assert.equal(out, "3 secrets sealed anew, with key 0123456789abcdef\n");
    assert.deepEqual(JSON.parse((await berth(["secret", "reseal", "--json"], () => json(done))).out), done);
  });
});

describe("readHidden()", () => {
  const typing = (...keys: string[]): HiddenTerminal & { raw: boolean[] } => {
    const raw: boolean[] = [];
    return {
      raw,
      isTerminal: () => true,
      setRaw: (on) => void raw.push(on),
      readable: ReadableStream.from(keys.map((text) => new TextEncoder().encode(text))),
    };
  };
  const read = (terminal: HiddenTerminal, shown: string[] = []) =>
    readHidden(terminal, "PASSWORD: ", (text) => void shown.push(text));

  it("reads to Enter, shows only the question, and leaves the terminal as it was", async () => {
    const terminal = typing("s3", "cré\x7f\x7fet", "\r");
    const shown: string[] = [];
    assert.equal(await read(terminal, shown), "s3cet");
    assert.deepEqual([shown, terminal.raw], [["PASSWORD: ", "\n"], [true, false]]);
  });

  it("gives up with Ctrl-C, at the end of input, and without a terminal", async () => {
    assert.equal(await read(typing("s3\x03")), null);
    assert.equal(await read(typing("s3")), null);
    assert.equal(await read({ ...typing("s3\r"), isTerminal: () => false }), null);
  });
});
