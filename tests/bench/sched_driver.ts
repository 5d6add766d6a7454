/**
 * Lets the scheduler's own placement be scored from outside: JSON lines in, JSON lines out. Nodes, the mix of work and `start`
 * come first; then each `pod` is answered by where it goes, and each `end` gives back what one had.
 *
 *     node score.mjs run CASE -- deno run -A tests/bench/sched_driver.ts
 */
import { PodRoom } from "./pods.ts";
import type { NodeLine, Pod } from "./pods.ts";

type Line =
  | { readonly type: "case" }
  | ({ readonly type: "node" } & NodeLine)
  | ({ readonly type: "class"; readonly count: number } & Omit<Pod, "id">)
  | { readonly type: "start" }
  | ({ readonly type: "pod" } & Pod)
  | { readonly type: "end"; readonly id: number };

const nodes: NodeLine[] = [];
const classes: (Omit<Pod, "id"> & { readonly count: number })[] = [];
let room: PodRoom | null = null;

/** The answer to a line, or nothing when it needs none. */
function answer(text: string): string {
  const line: Line = JSON.parse(text);
  switch (line.type) {
    case "node":
      nodes.push(line);
      return "";
    case "class":
      classes.push(line);
      return "";
    case "start":
      room = new PodRoom(nodes, classes);
      return '{"type":"ready"}\n';
    case "pod": {
      const found = room!.place(line);
      return found === null
        ? `{"id":${line.id},"node":null}\n`
        : `{"id":${line.id},"node":${JSON.stringify(found.node)},"gpus":[${found.gpus}]}\n`;
    }
    case "end":
      room!.end(line.id);
      return "";
    case "case":
      return "";
  }
}

const decoder = new TextDecoder(), encoder = new TextEncoder();
let rest = "";
for await (const chunk of Deno.stdin.readable) {
  const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
  rest = lines.pop()!;
  let answers = "";
  for (const line of lines) if (line !== "") answers += answer(line);
  if (answers !== "") writeAll(encoder.encode(answers));
}

function writeAll(bytes: Uint8Array): void {
  for (let from = 0; from < bytes.length;) from += Deno.stdout.writeSync(bytes.subarray(from));
}
