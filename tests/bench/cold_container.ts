/**
 * (o) An endpoint at zero whose function runs in a container: first byte of the first request, beside what the engine itself takes for
 * the same container, from the request to create it until a program in it has written something.
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

const POOLED_MS = 60;
const UNPOOLED_FACTOR = 1.5;
/** Containers that wait for one recipe. */
const WAITING = 2;
/** Until the engine is quiet again. */
const PAUSE_MS = 700;

export async function coldContainer(world: World): Promise<Finding> {
  const engine = world.engine!;
  const client = new OciClient({ socket: engine.socket, fetch: world.fetch });
  const waiting = engine.poolMiB > 0 ? WAITING : 0;
  const n = Math.max(3, Math.min(15, world.scaled(750)));
  await deployColdOnes(world, n + 1);
  const samples: number[] = [], own: number[] = [];
  const loads: number[] = [];
  for (let i = 0; i <= n; i++) {
    await until("the next ones wait", async () => (await client.containers()).length === i + waiting || null);
    await world.clock.sleep(PAUSE_MS);
    samples.push(await firstByte(world, `cold${i}`));
    await until(
      "the next ones wait",
      async () => (await client.containers()).length === i + 1 + waiting || null,
    );
    await world.clock.sleep(PAUSE_MS);
    own.push(await ownStart(client, world));
    loads.push(Deno.loadavg()[0]!);
  }
  client.close();
  samples.shift(), own.shift(); // the first also brought the bundle to the runner
  return finding(engine, samples, own, median(loads));
}

function finding({ name, poolMiB }: BenchEngine, samples: number[], own: number[], load: number): Finding {
  const pooled = poolMiB > 0;
  const [p50, p95, ownP50, ownP95] = [samples, own].flatMap((all) => [median(all), quantile(all, 0.95)]) as [
    number,
    number,
    number,
    number,
  ];
  const most = pooled ? POOLED_MS : UNPOOLED_FACTOR * ownP50;
  return {
    bench: `o ${name}`,
    what: `endpoint at zero → first byte, ${pooled ? "a container waits" : "no container waits"}, p50`,
    value: `${ms(p50)} (p95 ${ms(p95)})`,
    baseline: `${ms(ownP50)} (p95 ${ms(ownP95)}): the engine's own create and start`,
    target: pooled ? `≤ ${POOLED_MS} ms` : `≤ ${UNPOOLED_FACTOR} × the engine's own: ${ms(most)}`,
    ok: p50 <= most,
    figures: { p50, p95, ownP50, ownP95, factor: p50 / ownP50, load },
    notes: [`${samples.length} samples, load ${load.toFixed(1)} on ${navigator.hardwareConcurrency} cores`],
  };
}

/** The least that a container with the same limits takes. */
async function ownStart(client: OciClient, world: World): Promise<number> {
  const name = `berth-bench-${crypto.randomUUID().slice(0, 8)}`;
  const body = createBody(await likeAFunction(world.engine!));
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
