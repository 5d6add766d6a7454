/** The processes of the platform, put together as their main.ts does, from simulated ports. */
import { assemble, openPools } from "../../api/assemble.ts";
import type { Blobs } from "../../api/blobs/blobs.ts";
import type { Dial } from "../../api/gateway/connection.ts";
import { Agent } from "../../runner/agent.ts";
import { RunnerApi } from "../../runner/api.ts";
import type { Provider } from "../../scheduler/providers/provider.ts";
import { createScheduler } from "../../scheduler/loop.ts";
import { SharedWakes } from "../../scheduler/wakes.ts";
import { newId } from "../../sdk/ports.ts";
import type { Database } from "./database/database.ts";
import type { Machine } from "./machine/machine.ts";
import type { Network } from "./network.ts";
import type { Process } from "./process.ts";
import type { Life } from "./service.ts";
import { NO_VOLUMES } from "../setup/no_volumes.ts";

/** Where everybody finds the apis: the one address of a load balancer. */
export const ORIGIN = "http://berth.sim";
export const JOIN_TOKEN = "join_simulation";

export interface PlatformPorts {
  readonly database: Database;
  readonly network: Network;
  readonly blobs: Blobs;
  /** How a process connects to the endpoints of a container. */
  readonly dial: (from: Process) => Dial;
  /** What brings machines, as a process sees it. */
  readonly provider: (from: Process) => Provider;
}

const GRACE_MS = 10_000;
/** Of the runner, for guests that must end. */
const GUEST_GRACE_MS = 1_000;
const DRAIN_MS = 2_000;

/** An api with its scheduler, as api/main.ts starts one. */
export async function startApi(
  { database, network, blobs, dial, provider }: PlatformPorts,
  process: Process,
): Promise<Life> {
  const { clock, random, log } = process;
  const pools = openPools((options) => database.pool(process, options));
  const wakes = await SharedWakes.listen(pools.wakes, newId("api", { clock, random }));
  const { answer, gateway, schedule, keep, close } = await assemble({
    pools,
    blobs,
    clock,
    random,
    log,
    wakes,
    host: process.name,
    dial: dial(process),
    ownUrl: () => ORIGIN,
    providers: { local: provider(process) },
    keeper: process.name,
  });
  network.open(process, answer);
  const scheduling = Promise.all([schedule(), keep()]);
  return {
    stop: async () => {
      network.closeOf(process);
      close();
      const ended = Promise.all([gateway.drain(GRACE_MS), scheduling]);
      await Promise.race([ended, clock.sleep(GRACE_MS)]);
    },
  };
}

/** A scheduler of its own, as scheduler/main.ts starts one. */
export async function startScheduler({ database }: PlatformPorts, process: Process): Promise<Life> {
  const { clock, random, log } = process;
  const sql = database.pool(process, { max: 1, name: "berth scheduler" });
  const hints = database.pool(process, { max: 2, name: "berth scheduler wakes", durable: false });
  const wakes = await SharedWakes.listen(hints, newId("sch", { clock, random }));
  const over = new AbortController();
  const running = createScheduler({ sql, clock, random, log, wakes }).run(over.signal);
  return {
    stop: async () => {
      over.abort();
      await running;
    },
  };
}

/** A runner on a machine, as runner/main.ts starts one. */
export function startRunner(
  { network }: PlatformPorts,
  { machine, token }: { readonly machine: Machine; readonly token: string },
  process: Process,
): Promise<Life> {
  const { clock, random, log } = process;
  machine.sweep();
  const { name, cpu, memory } = machine.shape;
  const agent = new Agent({
    api: new RunnerApi({ address: { origin: ORIGIN }, fetch: network.fetchOf(process, name), clock }),
    engine: machine.engine(process),
    machine: {
      name,
      pool: undefined,
      host: name,
      cpu,
      memory,
      gpus: machine.gpus,
      disk: 100_000,
      labels: {},
      address: name,
    },
    clock,
    random,
    log,
    tokens: () => Promise.resolve([machine.credential, token].filter((one) => one !== null)),
    lastSession: () => Promise.resolve(machine.session),
    joined: ({ node }, session) => {
      machine.credential = node.credential;
      machine.session = session;
      return Promise.resolve();
    },
    orphaned: () => false,
    health: machine.health(process),
    volumes: NO_VOLUMES,
    graceMs: GUEST_GRACE_MS,
    drainMs: DRAIN_MS,
  });
  const ended = agent.run();
  return Promise.resolve({
    ended,
    stop: async () => {
      agent.stop();
      await ended;
    },
  });
}
