/** What tests of the oci engine share: each on every engine, with a runner in this process. */
import { describe } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { bundleCache } from "./bundle_cache.ts";
import type { OciEngine } from "../../runner/engines/oci/engine.ts";
import { type OciOptions, openOciEngine } from "../../runner/engines/oci/open.ts";
import { realSpawn } from "../../runner/engines/spawn.ts";
import { Slots } from "../../runner/slots.ts";
import { realClock, realRandom, silentLog } from "../../sdk/ports.ts";
import type { Exit, Failure, Gpu, Json } from "../../sdk/protocol.ts";
import { type EngineAt, type TestEngines, testEngines } from "./components/engines.ts";
import { imageOf } from "./components/registry.ts";
import { withoutEngines } from "./machine.ts";
import { ROOT, type RunnerOptions, TestRunner } from "./runner.ts";
import { until } from "./until.ts";

export type World = TestEngines & { readonly at: EngineAt };

/** Describes the same for Docker and for Podman; `world` gives the engine when a test runs. */
export function onEveryEngine(what: string, tests: (world: () => Promise<World>) => void): void {
  for (const [i, name] of (["docker", "podman"] as const).entries()) {
    describe(`${what} (${name})`, { skip: withoutEngines }, () =>
      tests(async () => {
        const engines = await testEngines();
        return { ...engines, at: engines.engines[i]! };
      }));
  }
}

export interface OciRunnerOptions extends RunnerOptions {
  readonly oci?: Partial<OciOptions>;
  /** GPUs it believes to have. @default a simulated one */
  readonly gpus?: readonly Gpu[];
}

/** The engine of a node without its runner, in a folder of its own that goes with it. */
export async function ociEngine({ at }: World, oci: Partial<OciOptions> = {}): Promise<OciEngine> {
  const data = await Deno.makeTempDir({ prefix: "berth-engine-" });
  const engine = await openOciEngine({
    socket: at.socket,
    data,
    root: ROOT,
    defaults: {},
    sources: {},
    imagesMiB: 100_000,
    poolMiB: 0,
    ...oci,
  }, {
    random: realRandom,
    slots: new Slots(data, realRandom),
    cache: bundleCache(`${data}/bundles`),
    spawn: realSpawn,
    clock: realClock,
    log: silentLog,
    gpus: [],
    volumes: { open: () => Promise.resolve([]) },
  });
  const close = engine.close.bind(engine);
  engine.close = async () => {
    await close();
    await Deno.remove(data, { recursive: true });
  };
  return engine;
}

/** A runner whose functions run in containers of this engine. */
export function ociRunner(
  { at, registry }: World,
  { oci, gpus, ...options }: OciRunnerOptions = {},
): Promise<TestRunner> {
  return TestRunner.start({
    ...options,
    engine: (dir, deps): Promise<OciEngine> =>
      openOciEngine({
        socket: at.socket,
        data: dir,
        root: ROOT,
        defaults: { ts: imageOf(registry.host, "deno"), python: imageOf(registry.host, "python") },
        sources: {},
        imagesMiB: 100_000,
        poolMiB: 0,
        ...oci,
      }, { ...deps, gpus: gpus ?? deps.gpus }),
  });
}

/** The only end of a call, or why its container ended before it had one. */
export async function end(runner: TestRunner, batch: number, index = 0) {
  return await until(`call ${batch}:${index} has ended`, () => {
    const failed = [...runner.api.observed.values()].at(-1);
    if (failed?.exit?.kind === "start_failed") throw new Error(failed.exit.message);
    return runner.api.endOf(batch, index) ?? null;
  });
}

/** Calls a function and gives what it returned. */
export async function value(runner: TestRunner, input: Json): Promise<Json> {
  const { outcome, value } = await end(runner, runner.api.call("fn", [input]));
  assert.equal(outcome, 0, JSON.stringify(value));
  return value as Json;
}

export async function failure(runner: TestRunner, input: Json): Promise<Failure> {
  const { outcome, value } = await end(runner, runner.api.call("fn", [input]));
  assert.equal(outcome, 1, JSON.stringify(value));
  return value as Failure;
}

/** Why a container has ended, once it has. */
export const exitOf = (runner: TestRunner, id: string): Promise<Exit> =>
  until(`container ${id} has exited`, () => runner.api.observed.get(id)?.exit ?? null);
