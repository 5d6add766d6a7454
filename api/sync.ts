/** The runner says what it observes, and is answered what is wanted: at once when that has changed, else when it does or after a while. */
import type { Pool, Sql } from "../scheduler/store/connect.ts";
import { type ContainerExit, containersExited, nodesLost } from "../scheduler/store/containers.ts";
import { openLeasesNotHeld } from "../scheduler/store/calls.ts";
import { discarded, noteKept } from "../scheduler/store/kept.ts";
import { wantedBuilds } from "../scheduler/store/builds.ts";
import { wantedPrefetch } from "../scheduler/store/images.ts";
import * as nodes from "../scheduler/store/nodes.ts";
import { loseGiven } from "../scheduler/store/parts.ts";
import { wantedExecs } from "../scheduler/store/execs.ts";
import { noteVolumes, volumesToRemove } from "../scheduler/store/volumes.ts";
import { NOTHING, type Touched, union, wakeTouched } from "../scheduler/store/touched.ts";
import type { Wakes } from "../scheduler/wakes.ts";
import { PlatformError } from "../sdk/errors.ts";
import type { Clock, Random } from "../sdk/ports.ts";
import type { Exit, SyncReply, SyncRequest } from "../sdk/protocol.ts";
import { Bell } from "./bell.ts";

export interface SyncDeps {
  readonly sql: Pool;
  readonly clock: Clock;
  readonly random: Random;
  readonly wakes: Wakes;
}

/** Longest time a sync is parked: a third of the node's lease, so that one lost sync does not lose the node. */
const PARK_MS = 10_000;
/** A parked sync looks by itself this often, should a wake have been lost. */
const LOOK_MS = 1_000;
/** A lease this old that its runner does not hold was lost on the way to it. */
const LEASE_IN_FLIGHT_MS = 30_000;

/** Parked syncs of this process, by node: a newer one releases the older. */
export class Syncs {
  readonly #deps: SyncDeps;
  readonly #parked = new Map<string, Bell>();

  constructor(deps: SyncDeps) {
    this.#deps = deps;
  }

  async sync(nodeId: string, request: SyncRequest, signal: AbortSignal): Promise<SyncReply> {
    const { sql, clock, wakes } = this.#deps;
    await this.#observe(nodeId, request);
    this.#parked.get(nodeId)?.ring();
    using bell = new Bell(clock).on(wakes, "node", nodeId);
    this.#parked.set(nodeId, bell);
    const until = clock.now() + PARK_MS;
    let reply = await nodes.wanted(sql, nodeId), beside = null;
    while (
      reply.revision === request.revision && clock.now() < until && this.#parked.get(nodeId) === bell &&
      !signal.aborted
    ) {
      const rang = await bell.rung(Math.min(LOOK_MS, until - clock.now()), signal);
      // Most likely with news, and there is nothing to wait for in asking for the rest, too.
      [reply, beside] = await Promise.all([
        nodes.wanted(sql, nodeId),
        rang ? this.#beside(nodeId, request) : null,
      ]);
    }
    if (this.#parked.get(nodeId) === bell) this.#parked.delete(nodeId);
    return { ...reply, ...beside ?? await this.#beside(nodeId, request) };
  }

  /** What else is wanted of a node. */
  async #beside(nodeId: string, { images }: SyncRequest) {
    const { sql, clock } = this.#deps;
    const now = new Date(clock.now());
    const hasEngine = images !== undefined;
    const [execs, discards, removeVolumes, builds, prefetch] = await Promise.all([
      wantedExecs(sql, now, nodeId),
      discarded(sql, nodeId),
      volumesToRemove(sql, now, nodeId),
      hasEngine ? wantedBuilds(sql, nodeId) : [],
      hasEngine ? wantedPrefetch(sql, now, nodeId) : [],
    ]);
    return { execs, discards, removeVolumes, builds, prefetch };
  }

  /** Answers all that are parked. */
  release(): void {
    for (const bell of this.#parked.values()) bell.ring();
    this.#parked.clear();
  }

  /** Writes down what the runner saw, in one transaction, and renews its lease. */
  async #observe(nodeId: string, request: SyncRequest): Promise<void> {
    const { sql, clock, wakes } = this.#deps;
    const now = new Date(clock.now());
    const touched = await sql.begin((tx) => observe(tx, now, nodeId, request));
    wakeTouched(wakes, touched);
    // A container that is ready needs no decision; room that came free does.
    if (touched.nodeIds.length > 0 || touched.functionIds.length > 0) wakes.wake("tick");
  }
}

async function observe(tx: Sql, now: Date, nodeId: string, request: SyncRequest): Promise<Touched> {
  const engine = request.engine &&
    { ...request.engine, away: storableText(request.engine.away ?? "") || null };
  const node = await nodes.renew(tx, now, { nodeId, ...request, engine });
  if (node === null || node.state === "left") {
    throw new PlatformError(
      "conflict",
      "Cannot sync: the node has joined anew or left since, this session is over",
    );
  }
  if (node.state === "lost") await rejoinIfClean(tx, nodeId, request);
  const [health, ready] = await Promise.all([ // sent together: somebody may be waiting for what is ready
    noteHealth(tx, nodeId, request, node.news),
    nodes.observeRunning(tx, now, nodeId, request.containers),
    noteKept(tx, now, nodeId, request.kept),
    noteVolumes(tx, now, nodeId, { sizes: request.volumeSizes, removed: request.removedVolumes }),
  ]);
  const exits = request.containers.flatMap(({ id, observed, exit }) =>
    observed === "exited" ? [{ id, exit: storable(exit) }] : []
  );
  if (request.leaving) return union(health, ready, await leave(tx, now, nodeId, exits));
  if (ready.containers > 0 || exits.length > 0) {
    const ended = await containersExited(tx, now, { nodeId, exits, heldLeases: request.leases });
    return union(health, ended, ready);
  }
  // In a quiet moment: calls that were lost on their way to the node.
  const before = new Date(now.getTime() - LEASE_IN_FLIGHT_MS);
  const strays = await openLeasesNotHeld(tx, nodeId, request.leases, before);
  return strays.length === 0 ? health : union(health, await loseGiven(tx, now, strays, STRAY));
}

/** The runner ends, and says no more: what was placed on the node since it was told to, and what it has not reported, goes elsewhere. */
async function leave(tx: Sql, now: Date, nodeId: string, exits: readonly ContainerExit[]): Promise<Touched> {
  const ended = await containersExited(tx, now, { nodeId, exits, heldLeases: [] });
  const lost = await nodesLost(tx, now, [nodeId], "The runner of the node ended");
  await nodes.leave(tx, nodeId);
  return union(ended, lost);
}

/** A GPU or an engine that begins to fail, or is well again, changes what fits where. @param isNews of the engine */
async function noteHealth(
  tx: Sql,
  nodeId: string,
  { ailingGpus }: SyncRequest,
  isNews: boolean,
): Promise<Touched> {
  const ailing = ailingGpus.map(({ index, ailment }) => ({ index, ailment: storableText(ailment) }));
  return await nodes.noteAilments(tx, nodeId, ailing) || isNews ? { ...NOTHING, nodeIds: [nodeId] } : NOTHING;
}

/**
 * A node that was lost is up again once its runner has no containers that are given up: until then they hold GPUs that the
 * store believes free.
 */
async function rejoinIfClean(tx: Sql, nodeId: string, { containers }: SyncRequest): Promise<void> {
  const running = containers.filter(({ observed }) => observed !== "exited").map(({ id }) => id);
  const alive = await nodes.aliveAmong(tx, nodeId, running);
  if (running.every((id) => alive.has(id))) await nodes.rejoin(tx, nodeId);
}

const STRAY = {
  kind: "node_lost",
  message: "The call was lost on its way to the node",
  retryable: true,
} as const;

const storable = (exit: Exit | undefined): Exit => ({
  kind: exit?.kind ?? "stopped",
  message: storableText(exit?.message ?? ""),
});

const storableText = (text: string): string => text.replaceAll("\0", "\uFFFD");
