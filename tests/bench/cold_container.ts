/**
 * (o) An endpoint at zero whose function runs in a container: first byte of the first request, beside what the engine itself takes for
 * the same container, from the request to create it until a program in it has written something: on its own bridge, which is what the
 * target is of, and on a network that somebody has made, as all functions have one.
 */
import { OciClient } from "../../runner/engines/oci/client.ts";
import { Printed } from "../../runner/engines/oci/printed.ts";
import { createBody, parseLimits, type Sandbox } from "../../runner/engines/oci/sandbox.ts";
import { realRandom } from "../../sdk/ports.ts";
import { FunctionSpec } from "../../sdk/protocol.ts";
import { until } from "../setup/until.ts";
import { deployColdOnes, firstByte } from "./cold.ts";
import { type Finding, median, ms, quantile } from "./report.ts";
import { took } from "./times.ts";
import type { BenchEngine, World } from "./world.ts";

const WAITING_MS = 60;
const OWN_FACTOR = 1.5;
/** Containers that wait for one recipe, and recipes for which one is created. */
const WAITING = 2;
const CREATED_MAX = 8;
/** Until the engine is quiet again. */
const PAUSE_MS = 700;

export async function coldContainer(world: World): Promise<Finding> {
  const engine = world.engine!;
  const client = new OciClient({ socket: engine.socket, fetch: world.fetch });
  const n = Math.max(3, Math.min(15, world.scaled(750)));
  await deployColdOnes(world, n + 1, { alike: engine.ahead !== "nothing" });
  const quiet = (started: number) =>
    until(
      "the next ones are made",
      async () => (await client.containers()).length === started + madeAhead(engine, started) || null,
    );
  const samples: number[] = [], own: number[] = [], onMade: number[] = [];
  const loads: number[] = [];
  await client.createNetwork({ Name: MADE, Driver: "bridge" });
  for (let i = 0; i <= n; i++) {
    await quiet(i);
    await world.clock.sleep(PAUSE_MS);
    samples.push(await firstByte(world, `cold${i}`));
    await quiet(i + 1);
    await world.clock.sleep(PAUSE_MS);
    own.push(await ownStart(client, world, "bridge"));
    await world.clock.sleep(PAUSE_MS);
    onMade.push(await ownStart(client, world, MADE));
    loads.push(Deno.loadavg()[0]!);
  }
  await client.removeNetwork(MADE);
  client.close();
  samples.shift(), own.shift(), onMade.shift(); // the first also brought the bundle to the runner, which began to use its image
  return finding(engine, { samples, own, onMade }, median(loads));
}

/** A network of the bench. */
const MADE = "berth-bench";

/** Containers beside those of functions, after so many starts. Of functions that are not alike, each leaves one behind. */
const madeAhead = ({ ahead }: BenchEngine, started: number): number =>
  ahead === "waiting" ? WAITING : Math.min(started, ahead === "created" ? 1 : CREATED_MAX);

const STATES = {
  waiting: "a container waits",
  created: "a container is created",
  nothing: "nothing is prepared",
} as const;

type Measured = Readonly<Record<"samples" | "own" | "onMade", number[]>>;

function finding({ name, ahead }: BenchEngine, { samples, own, onMade }: Measured, load: number): Finding {
  const [p50, ownP50, madeP50] = [samples, own, onMade].map(median) as [number, number, number];
  const [p95, ownP95] = [samples, own].map((all) => quantile(all, 0.95)) as [number, number];
  const most = ahead === "waiting" ? WAITING_MS : OWN_FACTOR * ownP50;
  return {
    bench: `o ${name}`,
    what: `endpoint at zero → first byte, ${STATES[ahead]}, p50`,
    value: `${ms(p50)} (p95 ${ms(p95)}), ${(p50 / ownP50).toFixed(2)} × the engine's own`,
    baseline: `${ms(ownP50)} (p95 ${ms(ownP95)}): the engine's own create and start`,
    target: ahead === "waiting" ? `≤ ${WAITING_MS} ms` : `≤ ${OWN_FACTOR} × the engine's own: ${ms(most)}`,
    ok: p50 <= most,
    figures: { p50, p95, ownP50, ownP95, madeP50, factor: p50 / ownP50, madeFactor: p50 / madeP50, load },
    notes: [
      `${samples.length} samples, load ${load.toFixed(1)} on ${navigator.hardwareConcurrency} cores`,
      `on a network that was made the engine itself takes ${ms(madeP50)}: ${(p50 / madeP50).toFixed(2)} ×`,
    ],
  };
}

/** The least that a container with the same limits takes. */
async function ownStart(client: OciClient, world: World, network: string): Promise<number> {
  const name = `berth-bench-${crypto.randomUUID().slice(0, 8)}`;
  const body = createBody({ ...await likeAFunction(world.engine!), network });
  const elapsed = await took(async () => {
    const id = await client.create(name, body);
    const { stdout, close } = await client.attach(
      id,
      { marked: new Printed({ clock: world.clock, random: realRandom }) },
    );
    await client.start(id);
    await stdout.getReader().read();
    close();
  });
  await until("it is removed", () => client.remove(name).then(() => true, () => null));
  return elapsed;
}

async function likeAFunction({ image }: BenchEngine): Promise<Sandbox> {
  const { cpu, memory } = FunctionSpec.shape;
  return {
    image,
    command: ["sh", "-c", "echo up; exec sleep 100"],
    env: {},
    labels: {},
    user: "65534:65534",
    workdir: "/",
    mounts: [],
    cpu: cpu.parse(undefined),
    memoryMiB: memory.parse(undefined),
    network: "bridge",
    hosts: [],
    dns: [],
    rlimits: parseLimits(await Deno.readTextFile("/proc/self/limits")),
    gpus: { way: "request", names: [] },
  };
}
