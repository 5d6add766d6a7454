/**
 * Container engines and a registry for tests: one set per test run (told in BERTH_TEST_ENGINES, set by tests/run.ts) or, when a
 * file is run alone, one for that file.
 */
import { after } from "node:test";
import { OciClient } from "../../../runner/engines/oci/client.ts";
import { parseReference } from "../../../sdk/image_reference.ts";
import { realFetch } from "../../../sdk/ports.ts";
import { startDocker } from "./docker.ts";
import type { TestEngine } from "./engine.ts";
import { IMAGES } from "./images.ts";
import { startPodman } from "./podman.ts";
import { imageOf, startRegistry, type TestRegistry } from "./registry.ts";

/** What a test needs to know of a running engine. */
export interface EngineAt {
  readonly name: TestEngine["name"];
  readonly socket: string;
  readonly gateway: string;
}

export interface TestEngines {
  readonly registry: Pick<TestRegistry, "host" | "lockedHost" | "vacantHost" | "user" | "password">;
  readonly engines: readonly EngineAt[];
}

export const ENGINES_VARIABLE = "BERTH_TEST_ENGINES";
let shared: Promise<TestEngines> | undefined;

/** Those of this test run. */
export const testEngines = (): Promise<TestEngines> => shared ??= obtain();

async function obtain(): Promise<TestEngines> {
  const told = Deno.env.get(ENGINES_VARIABLE);
  if (told !== undefined) return JSON.parse(told);
  const { stop, ...engines } = await startTestEngines();
  after(stop);
  return engines;
}

/** Docker and Podman with all test images, and the registry that these came from. */
export async function startTestEngines(): Promise<TestEngines & { stop: () => Promise<void> }> {
  const registry = await startRegistry();
  const started = await Promise.allSettled([
    startDocker(),
    startPodman([registry.host, registry.lockedHost, registry.vacantHost]),
  ]);
  const engines = started.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
  const stop = async () => {
    await Promise.all(engines.map((engine) => engine.stop()));
    await registry.stop();
  };
  const failed = started.find((one) => one.status === "rejected");
  try {
    if (failed !== undefined) throw failed.reason;
    await Promise.all(engines.map((engine) => pullAll(engine.client, registry.host)));
  } catch (error) {
    await stop();
    throw error;
  }
  return { registry, engines: engines.map(({ name, socket, gateway }) => ({ name, socket, gateway })), stop };
}

export async function pullAll(client: OciClient, host: string): Promise<void> {
  // What others are built from is pulled by the engine itself, when it builds.
  for (const { name } of IMAGES.filter(({ name }) => name !== "debian")) {
    await client.pull(parseReference(imageOf(host, name)));
  }
}

/** A client of one of them; close it at the end. */
export const clientOf = ({ socket }: EngineAt): OciClient => new OciClient({ socket, fetch: realFetch });
