/**
 * `deno task bench`: what the platform promises in figures, each beside a baseline of the same run.
 *
 *     deno task bench                 # all of it, some minutes
 *     deno task bench a c --json      # only benches a and c, as JSON
 *     deno task bench --quick         # a look whether they still run; the figures mean nothing
 */
import { realClock, realFetch } from "../../sdk/ports.ts";
import { claims } from "./claims.ts";
import { cold } from "./cold.ts";
import { decision } from "./decision.ts";
import { keepalive } from "./keepalive.ts";
import { map } from "./map.ts";
import { memory } from "./memory.ts";
import { placement } from "./placement.ts";
import { python } from "./python.ts";
import { queueJump } from "./queue_jump.ts";
import { type Finding, report } from "./report.ts";
import { single } from "./single.ts";
import { submit } from "./submit.ts";
import { tick } from "./tick.ts";
import { warm } from "./warm.ts";
import { withWorld, type World } from "./world.ts";

interface Bench {
  readonly letter: string;
  readonly run: (world: World) => Promise<Finding>;
}

/** Worlds, and what is measured in each, in an order in which none disturbs the next. */
const WORLDS: readonly { args?: readonly string[]; benches: readonly Bench[] }[] = [
  {
    benches: [
      { letter: "e", run: memory },
      { letter: "c", run: (world) => cold(world, { name: "with the pool", target: 40 }) },
      { letter: "d", run: warm },
      { letter: "b", run: single },
      { letter: "a", run: map },
      { letter: "g", run: queueJump },
      { letter: "f", run: submit },
    ],
  },
  { benches: [{ letter: "p", run: python }] },
  { benches: [{ letter: "g", run: claims }] },
  { benches: [{ letter: "t", run: tick }, { letter: "h", run: placement }, { letter: "k", run: keepalive }] },
  { benches: [{ letter: "x", run: decision }] },
  {
    args: ["--pool-size", "0"],
    benches: [{ letter: "c", run: (world) => cold(world, { name: "without the pool", target: 120 }) }],
  },
];

const quick = Deno.args.includes("--quick");
const json = Deno.args.includes("--json");
const letters = Deno.args.filter((arg) => !arg.startsWith("--"));
const wanted = ({ letter }: Bench) => letters.length === 0 || letters.includes(letter);

const findings: Finding[] = [];
for (const { args = [], benches } of WORLDS) {
  const chosen = benches.filter(wanted);
  if (chosen.length === 0) continue;
  await withWorld({ clock: realClock, fetch: realFetch, quick, args }, async (world) => {
    for (const { run } of chosen) {
      const finding = await run(world);
      findings.push(finding);
      if (!json) console.error(`${finding.ok ? "✓" : "✗"} ${finding.bench}: ${finding.value}`);
    }
  });
}
findings.sort((a, b) => a.bench < b.bench ? -1 : a.bench > b.bench ? 1 : 0);
console.log(json ? JSON.stringify({ quick, findings }) : `\n${report(findings)}`);
Deno.exit(quick || findings.every(({ ok }) => ok) ? 0 : 1);
