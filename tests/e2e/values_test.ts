import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { Client } from "../../sdk/client.ts";
import { fromName } from "../../sdk/handle.ts";
import { LIMITS } from "../../sdk/protocol.ts";
import { withoutPython } from "../setup/machine.ts";
import { Platform } from "../setup/platform.ts";

/** More than may travel with a call, and with characters that take more than one byte. */
const large = { text: "é".repeat(LIMITS.inputBytes) };
const lookalike = { $blob: "0".repeat(32) };

const APP = `
import { App, Function } from "berth";
const app = new App("large");
export const echo = app.function({}, (input: unknown) => input);
export const again = app.function({}, function* (input: unknown) {
  yield* [1, input, 2];
});
export const pythonAgain = app.python<unknown, Generator<unknown>>("echo.py:again", {});
export const python = app.python("echo.py:echo", {});
export const throughPython = app.python("echo.py:through", {});
/** A function that calls another, with what is too large to travel. */
export const through = app.function({}, async (text: string) => {
  const echo = Function.fromName("large", "echo");
  const { text: back } = await echo.remote({ text: text.repeat(3_000_000) }) as { text: string };
  return back.length;
});
`;

const PYTHON = `
from berth import Function

def echo(given):
    return given

def again(given):
    yield from (1, given, 2)

def through(given):
    back, small, like = Function.from_name("large", "echo").map([given, 1, {"$blob": "1" * 32}])
    return [back == given, small, like]
`;

describe("inputs and results that are too large to travel", () => {
  let platform: Platform;
  let client: Client;
  before(async () => {
    platform = await Platform.up();
    await platform.deploy(APP, "app.ts", { "echo.py": PYTHON });
    client = new Client({ url: platform.url, key: platform.key });
  });
  after(() => platform[Symbol.asyncDispose]());

  const there = (name: string, input: unknown) => fromName("large", name, { client }).remote(input);

  it("come and go whole, as those do that look like what stands for them", async () => {
    for (const input of [large, lookalike, "small"]) assert.deepEqual(await there("echo", input), input);
  });

  it("do so in Python", { skip: withoutPython }, async () => {
    for (const input of [large, lookalike]) assert.deepEqual(await there("python", input), input);
  });

  it("do so when Python calls", { skip: withoutPython }, async () => {
    assert.deepEqual(await there("throughPython", large), [true, 1, { $blob: "1".repeat(32) }]);
  });

  it("do so between functions, and among many inputs in order", async () => {
    assert.equal(await fromName("large", "through", { client }).remote("é"), 3_000_000);
    const inputs = [1, large, 2, lookalike];
    const mapped = await Array.fromAsync(fromName("large", "echo", { client }).map(inputs));
    assert.deepEqual(mapped, inputs);
  });

  for (const name of withoutPython ? ["again"] : ["again", "pythonAgain"]) {
    it(`are yielded in their order by ${name}`, async () => {
      for (const input of [large, lookalike]) {
        const yields = await Array.fromAsync(fromName("large", name, { client }).stream(input));
        assert.deepEqual(yields, [1, input, 2]);
      }
    });
  }

  it("are read and shown by the command line", async () => {
    await Deno.writeTextFile(`${platform.dir}/input.json`, JSON.stringify(large));
    const { code, stdout, stderr } = await platform.berth(
      ...["call", "large/echo", "--input", `@${platform.dir}/input.json`, "--json"],
    );
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(stdout).result, large);
  });
});
