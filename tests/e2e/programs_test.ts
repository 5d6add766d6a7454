/** The programs that the README names, run as it says. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";

const ROOT = new URL("../../", import.meta.url).pathname;

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const command = new Deno.Command(Deno.execPath(), {
    args,
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
  });
  const { code, stdout, stderr } = await command.output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

describe("the quickstart", () => {
  it("holds at every step and ends with its table", async () => {
    const { code, stdout, stderr } = await run("task", "--quiet", "quickstart");
    assert.equal(code, 0, stdout + stderr);
    for (const step of ["start", "deploy", "train", "fine-tune", "classify", "serve", "rest"]) {
      assert.match(stdout + stderr, new RegExp(`^${step} .* (s|ms)\\b`, "m"));
    }
  });
});

/** All but `o`, which starts container engines four times. */
const LETTERS = ["a", "b", "c", "d", "e", "f", "g", "h", "k", "p", "t", "x"];

describe("the benches", () => {
  it("still run, each beside its baseline", async () => {
    const { code, stdout, stderr } = await run("task", "--quiet", "bench", "--quick", "--json", ...LETTERS);
    assert.equal(code, 0, stderr);
    const { findings } = JSON.parse(stdout) as { findings: { bench: string; baseline: string }[] };
    const letters = new Set(findings.map(({ bench }) => bench[0]));
    assert.deepEqual([...letters].sort(), LETTERS);
    for (const { baseline } of findings) assert.match(baseline, /\d/);
  });
});
