import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const DRIVER = fileURLToPath(new URL("../bench/keepalive_driver.ts", import.meta.url));

/** Runs the driver on these lines, and answers its replies. */
async function driven(lines: readonly object[], ...args: string[]) {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", DRIVER, ...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  });
  const child = command.spawn();
  const input = child.stdin.getWriter();
  await input.write(new TextEncoder().encode(lines.map((line) => JSON.stringify(line) + "\n").join("")));
  await input.close();
  const { stdout, success } = await child.output();
  assert.ok(success);
  return new TextDecoder().decode(stdout).trim().split("\n").map((line) => JSON.parse(line));
}

const HEAD = {
  type: "case",
  track: "keepalive",
  version: 1,
  name: "x",
  endpoints: 2,
  horizon_s: 9e4,
  load_s: 0,
};
const request = (endpoint: string, at: number) => ({ type: "request", id: at, endpoint, at, cold: true });
const idle = (endpoint: string, at: number) => ({ type: "idle", endpoint, at });

describe("keepalive_driver", () => {
  it("replies to each end of work in its turn, in seconds, and to nothing else", async () => {
    const hourly = Array.from({ length: 8 }, (_, i) => [request("b", i * 3_600), idle("b", i * 3_600 + 5)])
      .flat();
    const replies = await driven([HEAD, request("a", 0), idle("a", 9), ...hourly]);
    assert.deepEqual(replies.map((reply) => reply.endpoint), ["a", ...Array(8).fill("b")]);
    const [first, last] = [replies[0], replies.at(-1)];
    assert.ok(first.prewarm === 0 && first.keep > 30 && first.keep < 3_600, JSON.stringify(first));
    assert.ok(
      last.prewarm > 3_000 && last.prewarm + last.keep > 3_595 && last.keep < 120,
      JSON.stringify(last),
    );
  });

  it("keeps longer when a cold start is said to be worth more", async () => {
    const lines = [HEAD, request("a", 0), idle("a", 9)];
    const [[little], [much]] = await Promise.all([
      driven(lines, "--cold-worth", "2m"),
      driven(lines, "--cold-worth", "4h"),
    ]);
    assert.ok(little.keep < much.keep);
  });
});
