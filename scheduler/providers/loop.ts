/**
 * Keeping pools: for each provider, list → reconcile → act, when something wakes it and once a second while there is anything to keep.
 *
 * **One process keeps a pool**, and goes on doing so: it says so in the pool's row, for {@link KEEP_MS}, and renews that in time. (A lock of
 * the database would be let go with the connection and taken by whoever comes first; but who keeps local nodes has them on its own machine.)
 * One that has stood still for longer does nothing more with what it knew. And all it does may be done twice.
 *
 * **Killed anywhere**: a machine that was started and not written down is found in the list and adopted; a provision that was written
 * down and not started is started; a machine whose provision is over is stopped.
 */
import type { Clock, Log } from "../../sdk/ports.ts";
import { Alarm } from "../alarm.ts";
import { isAway, type Pool } from "../store/connect.ts";
import { insertJoinToken } from "../store/keys.ts";
import { keepPools, type KeptPool, letGoOfPools } from "../store/pools.ts";
import { endProvisions, type OpenProvision, openProvisions, provisionStarted } from "../store/provisions.ts";
import { wakeTouched } from "../store/touched.ts";
import type { Wakes } from "../wakes.ts";
import type { Machine, Provider } from "./provider.ts";
import { type Deed, reconcile } from "./reconcile.ts";

export interface KeepingDeps {
  readonly sql: Pool;
  readonly clock: Clock;
  readonly log: Log;
  readonly wakes: Wakes;
  /** By name, as pools name them. */
  readonly providers: Readonly<Record<string, Provider>>;
  /** Names this process, the same after a restart. */
  readonly keeper: string;
  /** Makes a join token, and what is kept of it. */
  readonly newToken: () => { readonly token: string; readonly hash: string };
}

export interface Keeping {
  /** One round over the pools of one provider; answers whether there was anything to keep. */
  pass(provider: string): Promise<boolean>;
  /** Keeps all pools until aborted; errors are logged and survived. */
  run(signal: AbortSignal): Promise<void>;
}

/** How long a pool stays with a keeper that has fallen silent. */
export const KEEP_MS = 30_000;
/** Between two rounds, with something to keep and without. */
const LOOK_MS = 1_000;
const IDLE_LOOK_MS = 10_000;

export function createKeeping(deps: KeepingDeps): Keeping {
  const pass = (name: string) => keepOnce(deps, name);
  return {
    pass,
    run: async (signal) => {
      await Promise.all(Object.keys(deps.providers).map((name) => keep(deps, name, signal)));
      await letGoOfPools(deps.sql, deps.keeper).catch(() => {}); // else it is taken over in time
    },
  };
}

async function keep(deps: KeepingDeps, name: string, signal: AbortSignal): Promise<void> {
  const { clock, wakes, log } = deps;
  const alarm = new Alarm(clock);
  const off = wakes.on("pool", "*", () => alarm.ring());
  deps.providers[name]!.watch?.(() => alarm.ring());
  signal.addEventListener("abort", () => alarm.ring(), { once: true });
  let failing: string | null = null;
  while (!signal.aborted) {
    alarm.reset();
    let busy = true;
    try {
      busy = await keepOnce(deps, name);
      failing = null;
    } catch (error) {
      const message = (error as Error).message;
      if (message !== failing) log("provider.failed", { provider: name, away: isAway(error), message });
      failing = message;
    }
    if (!signal.aborted) await alarm.until(clock.now() + (busy ? LOOK_MS : IDLE_LOOK_MS));
  }
  off();
}

async function keepOnce(deps: KeepingDeps, name: string): Promise<boolean> {
  const { sql, clock, keeper, providers } = deps;
  const now = clock.now();
  const until = now + KEEP_MS;
  const kept = await keepPools(sql, new Date(now), { keeper, provider: name, until: new Date(until) });
  const machines = await providers[name]!.list();
  const open = await openProvisions(sql, name);
  if (clock.now() >= now + KEEP_MS / 2) return true; // somebody else may keep them by now
  const isKept = (pool: string) => kept.some((one) => one.name === pool);
  const deeds = reconcile({ machines, open, isKept, now: clock.now() });
  const done = await Promise.allSettled(deeds.map((deed) => act(deps, providers[name]!, deed, kept)));
  for (const one of done) if (one.status === "rejected") throw one.reason;
  return machines.length + open.length > 0;
}

async function act(
  deps: KeepingDeps,
  provider: Provider,
  deed: Deed,
  kept: readonly KeptPool[],
): Promise<void> {
  switch (deed.do) {
    case "start":
      return await start(
        deps,
        provider,
        deed.provision,
        kept.find(({ name }) => name === deed.provision.pool)!,
      );
    case "adopt":
      return await noteStarted(deps, deed.machine);
    case "stop":
      return await stop(deps, provider, deed.machine);
    case "end":
      return await end(deps, deed.provision, deed.error);
  }
}

async function start(
  deps: KeepingDeps,
  provider: Provider,
  { id, deadlineAt }: OpenProvision,
  { name, shape, config }: KeptPool,
): Promise<void> {
  const { sql, clock, log, newToken } = deps;
  try {
    if (shape === null) throw new Error("it is no longer known what its nodes have");
    const { token, hash } = newToken();
    await insertJoinToken(sql, new Date(clock.now()), {
      hash,
      pool: name,
      expiresAt: deadlineAt,
      provision: id,
    });
    const external = await provider.start({ provision: id, pool: name, shape, config, token });
    log("machine.started", { provision: id, pool: name, machine: external });
    await noteStarted(deps, { provision: id, external });
  } catch (error) {
    if (isAway(error)) throw error;
    await end(deps, id, (error as Error).message);
  }
}

const noteStarted = (
  { sql }: KeepingDeps,
  { provision, external }: Pick<Machine, "provision" | "external">,
): Promise<void> => provisionStarted(sql, { id: provision, external });

/** One machine that can't be stopped must not keep the others from being kept. */
async function stop({ log }: KeepingDeps, provider: Provider, machine: Machine): Promise<void> {
  try {
    await provider.stop(machine);
  } catch (error) {
    log("machine.not_stopped", {
      provision: machine.provision,
      machine: machine.external,
      message: (error as Error).message,
    });
  }
}

async function end({ sql, clock, log, wakes }: KeepingDeps, id: string, error: string | null): Promise<void> {
  const touched = await sql.begin((tx) => endProvisions(tx, new Date(clock.now()), [{ id, error }]));
  log("provision.ended", { provision: id, ...(error === null ? {} : { error }) });
  wakeTouched(wakes, touched);
  wakes.wake("tick");
}
