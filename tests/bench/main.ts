/**
 * `deno task bench`: what the platform promises in figures, each beside a baseline of the same run.
 *
 *     deno task bench                 # all of it, some minutes
 *     deno task bench a c --json      # only benches a and c, as JSON
 *     deno task bench --quick         # a look whether they still run; the figures mean nothing
 */
import { realClock, realFetch } from "../../sdk/ports.ts";
import { startTestEngines, type TestEngines } from "../setup/components/engines.ts";
import { imageOf } from "../setup/components/registry.ts";
import { withoutEngines } from "../setup/machine.ts";
import { claims } from "./claims.ts";
import { cold } from "./cold.ts";
import { coldContainer } from "./cold_container.ts";
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
import { type BenchEngine, withWorld, type World } from "./world.ts";

interface Bench {
  readonly letter: string;
  readonly run: (world: World) => Promise<Finding>;
}

interface Group {
  readonly args?: readonly string[];
  /** Its functions run in containers. */
  readonly engine?: Pick<BenchEngine, "name" | "ahead">;
  readonly benches: readonly Bench[];
}

const containers = (name: BenchEngine["name"], ahead: BenchEngine["ahead"]): Group => ({
  engine: { name, ahead },
  benches: [{ letter: "o", run: coldContainer }],
});

/** Worlds, and what is measured in each, in an order in which none disturbs the next. */
const WORLDS: readonly Group[] = [
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
  // They take root, Docker and Podman: left out where these are not.
  ...withoutEngines
    ? []
    : (["docker", "podman"] as const).flatMap((name) =>
      (["waiting", "created", "nothing"] as const).map((ahead) => containers(name, ahead))
    ),
];

const quick = Deno.args.includes("--quick");
const json = Deno.args.includes("--json");
const letters = Deno.args.filter((arg) => !arg.startsWith("--"));
const wanted = ({ letter }: Bench) => letters.length === 0 || letters.includes(letter);

let engines: ReturnType<typeof startTestEngines> | undefined;
/** Engines are started with the first bench that uses one. */
async function engineOf(asked: Group["engine"]): Promise<BenchEngine | null> {
  if (asked === undefined) return null;
  const { registry, engines: all }: TestEngines = await (engines ??= startTestEngines());
  const { socket } = all.find(({ name }) => name === asked.name)!;
  return { ...asked, socket, image: imageOf(registry.host, "deno") };
}

const findings: Finding[] = [];
for (const { args = [], benches, engine: asked } of WORLDS) {
  const chosen = benches.filter(wanted);
  if (chosen.length === 0) continue;
  const engine = await engineOf(asked);
  await withWorld({ clock: realClock, fetch: realFetch, quick, args, engine }, async (world) => {
    for (const { run } of chosen) {
      const finding = await run(world);
      findings.push(finding);
      if (!json) console.error(`${finding.ok ? "✓" : "✗"} ${finding.bench}: ${finding.value}`);
    }
  });
}
await (await engines)?.stop();
findings.sort((a, b) => a.bench < b.bench ? -1 : a.bench > b.bench ? 1 : 0);
console.log(json ? JSON.stringify({ quick, findings }) : `\n${report(findings)}`);
Deno.exit(quick || findings.every(({ ok }) => ok) ? 0 : 1);
