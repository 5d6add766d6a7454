/**
 * The production keep-alive policy for an outside scorer: JSON lines of the `keepalive` track on stdin, replies on stdout. The one
 * knob is the idle time that a cold start is worth; by default that of a function with one GPU.
 *
 *     node keepalive.mjs run CASE -- deno run -A tests/bench/keepalive_driver.ts [--cold-worth 1h]
 */
import { GPU_COLD_WORTH_MS } from "../../scheduler/keepalive.ts";
import { parseDuration } from "../../sdk/duration.ts";
import { LineReader, parseLines } from "../../sdk/lines.ts";
import { berthPolicy } from "./keepalive_policy.ts";
import type { KeepAlive } from "./keepalive_referee.ts";

type Line =
  | { readonly type: "case"; readonly load_s: number }
  | { readonly type: "request" | "idle"; readonly endpoint: string; readonly at: number };

const flag = Deno.args.indexOf("--cold-worth");
const coldWorthMs = flag < 0 ? GPU_COLD_WORTH_MS : parseDuration(Deno.args[flag + 1] ?? "");

let policy: KeepAlive = berthPolicy({ coldWorthMs, loadMs: 0 });

/** The reply to a line, where one is due. */
function reply(line: Line): string[] {
  if (line.type === "case") policy = berthPolicy({ coldWorthMs, loadMs: line.load_s * 1000 });
  if (line.type === "request") policy.request(line.endpoint, line.at * 1000);
  if (line.type !== "idle") return [];
  const { prewarmMs, keepMs } = policy.idle(line.endpoint, line.at * 1000);
  return [JSON.stringify({ endpoint: line.endpoint, prewarm: prewarmMs / 1000, keep: keepMs / 1000 }) + "\n"];
}

const reader = new LineReader();
const encoder = new TextEncoder();
const out = Deno.stdout.writable.getWriter();
for await (const bytes of Deno.stdin.readable) {
  const lines = reader.push(bytes);
  if (lines === undefined) continue;
  for (const text of parseLines<Line>(lines).flatMap(reply)) await out.write(encoder.encode(text));
}
