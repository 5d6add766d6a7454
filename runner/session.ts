/**
 * One session of a joined node: observe → sync → reconcile → act, level-triggered, beside the call loop. Whatever was missed
 * comes up again with the next sync.
 */
import type {
  Assignment,
  ObservedContainer,
  OpenLease,
  Resumed,
  SyncReply,
  SyncRequest,
} from "../sdk/protocol.ts";
import type { Clock, Log } from "../sdk/ports.ts";
import { ApiAway, ApiRefused, backoffMs, type NodeApi } from "./api.ts";
import { type Adopted, adoptedLease } from "./adopted.ts";
import { Bell, within } from "./bell.ts";
import { Builds } from "./builds.ts";
import type { HeldLease } from "./calls.ts";
import { Container } from "./container.ts";
import type { Engine } from "./engine.ts";
import { Exchange } from "./exchange.ts";
import { Execs } from "./execs.ts";
import type { GpuHealth } from "./gpu_health.ts";
import { Kept } from "./kept.ts";
import { Leases } from "./leases.ts";
import { Outbox } from "./outbox.ts";
import { type Action, type Known, reconcile } from "./reconcile.ts";
import type { SessionVolumes, VolumeNews } from "./volumes.ts";

export interface SessionDeps {
  readonly api: NodeApi;
  readonly session: string;
  /** What an earlier runner left, to go on with. */
  readonly resumed?: Resumed | undefined;
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Log;
  /** From the notice to the kill of what must end. */
  readonly graceMs: number;
  readonly health: Pick<GpuHealth, "ailing">;
  readonly volumes: SessionVolumes;
  /** Called when the node is no longer wanted. */
  readonly released: () => void;
}

const TICK_BUSY_MS = 25;
const TICK_IDLE_MS = 200;
/**
 * Pause before the next sync is parked: a container that has just been wanted is often ready sooner, and then its start needs no
 * sync of its own on the way of the request that waits for it.
 */
const PARK_AFTER_MS = 25;
/** Syncs on their way at a time: one parked, one that tells news. */
const SYNCS_MAX = 2;
/** Time for the last reports to arrive when the runner stops. */
const FAREWELL_MS = 3_000;
const FAREWELL_STEP_MS = 5;
/** Time to say that nothing more is to be placed here; unsaid, the scheduler finds out within half a minute. */
const GOODBYE_MS = 1_000;
/** Exited containers that are remembered, so that an old reply does not start one again. */
const ENDED_MAX = 4_096;
/** Time to remove what is left of containers. An installation that nobody wants any more may go on for longer. */
const REMOVAL_MS = 5_000;
/** Differs from any: the api answers at once. */
const NO_REVISION = -1;

export class Session {
  readonly #deps: SessionDeps;
  readonly #containers = new Map<string, Container>();
  /** Resolve when containers have exited. */
  readonly #exits = new Map<string, Promise<void>>();
  /** Containers of which something is left. The platform may have forgotten them. */
  readonly #lives = new Set<Promise<void>>();
  /** Wanted, but never started. */
  readonly #refused = new Map<string, ObservedContainer>();
  readonly #ended = new Set<string>();
  readonly #outbox = new Outbox();
  readonly #leases = new Leases();
  readonly #exchange: Exchange;
  readonly #execs: Execs;
  readonly #kept: Kept;
  #builds: Builds | null = null;
  readonly #bell: Bell;
  readonly #over = new AbortController();
  #revision = 0;
  #changed = true;
  #leaving = false;
  #syncs = 0;
  #failures = 0;
  #notBefore = 0;
  #parkAt = 0;
  /** When the api last answered. */
  #heardAt: number;

  constructor(deps: SessionDeps) {
    this.#deps = deps;
    this.#bell = new Bell(deps.clock);
    this.#heardAt = deps.clock.now();
    const { api, clock, log, volumes } = deps;
    this.#kept = new Kept({ clock, log, changed: () => this.#news() });
    const host = (id: string) => this.#kept.host(id) ?? this.#containers.get(id);
    this.#execs = new Execs({ api, clock, log, host, volumes, over: this.#over.signal });
    volumes.onNews(() => this.#news());
    this.#findImages();
    this.#exchange = new Exchange({
      api: deps.api,
      session: deps.session,
      clock: deps.clock,
      log: deps.log,
      outbox: this.#outbox,
      leases: this.#leases,
      containers: this.#containers,
      refused: (error) => this.#evicted(error),
    });
  }

  /** When the api was last heard. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** Runs until it is left, or the api no longer knows it; then all its containers are gone. */
  async run(): Promise<void> {
    const { signal } = this.#over;
    this.#resume();
    await Promise.all([this.#syncLoop(signal), this.#exchange.run(signal), this.#tickLoop(signal)]);
    for (const container of this.#containers.values()) container.kill();
    await this.#allExited();
    await within(this.#deps.clock, REMOVAL_MS, Promise.all(this.#lives));
    await this.#kept.close();
  }

  /** Leaves in order: what runs may end within `drainMs`, the rest is told to, then killed; all of it is reported. */
  async leave(drainMs: number): Promise<void> {
    this.#leaving = true;
    for (const container of this.#containers.values()) container.drain({ hurry: true }); // requests go on coming
    const { clock } = this.#deps;
    if (!await within(clock, drainMs, this.#allExited())) {
      for (const container of this.#containers.values()) container.stop();
      await this.#allExited();
    }
    await this.#kept.close();
    await within(clock, FAREWELL_MS, this.#farewell());
    await within(clock, GOODBYE_MS, this.#goodbye());
    this.abandon();
  }

  /** Where a container listens; null when there is none that does. */
  addressOf(container: string): string | null {
    return this.#containers.get(container)?.observed.address ?? null;
  }

  /** Other GPUs fail than before, or the container engine went away or came: that is told at once. */
  healthChanged(): void {
    this.#findImages();
    this.#news();
  }

  /** Ends at once and kills everything. */
  abandon(): void {
    this.#over.abort();
    this.#bell.ring();
    this.#exchange.wake();
  }

  /** The engine that has them may have come after the runner. */
  #findImages(): void {
    const { api, clock, log, engine: { images } } = this.#deps;
    if (images === undefined || this.#builds !== null) return;
    this.#builds = new Builds({ api, clock, log, images, over: this.#over.signal });
    images.onChange(() => this.#news());
  }

  // ── sync ────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #syncLoop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const waitMs = this.#syncDueMs();
      if (waitMs > 0) await this.#bell.wait(waitMs);
      else this.#sync(signal);
    }
  }

  /** Time until there is a reason to sync: at once for news; a little later to be there for the api's. */
  #syncDueMs(): number {
    const now = this.#deps.clock.now();
    if (this.#changed && this.#syncs < SYNCS_MAX) return this.#notBefore - now;
    return this.#syncs === 0 ? Math.max(this.#notBefore, this.#parkAt) - now : Infinity;
  }

  async #sync(signal: AbortSignal): Promise<void> {
    const { api, clock, log, volumes } = this.#deps;
    this.#changed = false;
    this.#syncs++;
    const news = volumes.news;
    try {
      const reply = await api.sync(this.#report(news), signal);
      volumes.told(news);
      this.#failures = 0;
      this.#heardAt = clock.now();
      this.#parkAt = clock.now() + PARK_AFTER_MS;
      if (!signal.aborted) this.#apply(reply);
    } catch (error) {
      this.#changed = true;
      this.#notBefore = clock.now() + backoffMs(this.#failures++);
      if (error instanceof ApiRefused) this.#evicted(error);
      else if (!(error instanceof ApiAway)) log("sync.error", { error: String(error) });
    }
    this.#syncs--;
    this.#bell.ring();
  }

  #report(news: VolumeNews, leaving = false): SyncRequest {
    const { api, session, health, engine: { images, containers } } = this.#deps;
    return {
      node: api.node.id,
      session,
      containers: this.#observed(),
      kept: this.#kept.observed,
      leases: this.#leases.ids(),
      ailingGpus: [...health.ailing],
      ...(images === undefined ? {} : { images: images.names() }),
      ...(containers === undefined ? {} : { engine: containers }),
      ...news,
      leaving,
      revision: this.#revision,
    };
  }

  #observed(): ObservedContainer[] {
    return [
      ...[...this.#containers.values()].map((container) => container.observed),
      ...this.#refused.values(),
    ];
  }

  #apply(
    { revision, containers, execs, discards, builds, prefetch, removeVolumes, leave }: SyncReply,
  ): void {
    if (revision < this.#revision) return;
    this.#revision = revision;
    if (leave) this.#deps.released();
    const known: Known[] = [...this.#containers.values()].map(({ id, state, givesWay }) => ({
      id,
      state,
      givesWay,
    }));
    for (const id of this.#refused.keys()) known.push({ id, state: "exited" });
    for (const action of reconcile(containers, known)) this.#act(action);
    this.#execs.want(execs);
    this.#kept.discard(discards);
    this.#builds?.want(builds);
    for (const ref of prefetch) this.#deps.engine.images?.prefetch(ref);
    this.#deps.volumes.remove(removeVolumes);
  }

  #act(action: Action): void {
    switch (action.do) {
      case "start":
        return this.#start(action.assignment);
      case "drain":
        return this.#containers.get(action.id)?.drain();
      case "preempt":
        return this.#containers.get(action.id)?.preempt();
      case "stop":
        return this.#containers.get(action.id)?.stop();
      case "refuse":
        return this.#refuse(action.id);
      case "forget":
        return this.#forget(action.id);
    }
  }

  #start(assignment: Assignment): void {
    const { id, spec, app } = assignment;
    if (this.#leaving || this.#ended.has(id)) return this.#refuse(id);
    const { log } = this.#deps;
    log("container.start", { container: id, app, function: spec.name });
    this.#run(assignment);
  }

  /** Goes on with what an earlier runner left. */
  #resume(): void {
    const { resumed, log } = this.#deps;
    for (const { nextLine, ...assignment } of resumed?.containers ?? []) {
      const { id, spec, app } = assignment;
      log("container.adopt", { container: id, app, function: spec.name });
      const leases = resumed!.leases.filter(({ container }) => container === id);
      this.#run(assignment, { nextLine, leases: leases.map((lease) => this.#adopt(lease)) });
    }
  }

  #adopt(given: OpenLease): HeldLease {
    const lease = adoptedLease(given, this.#deps.clock.now());
    this.#leases.adopt(lease);
    return lease;
  }

  #run(assignment: Assignment, adopted?: Adopted): void {
    const { id } = assignment;
    const { api, engine, clock, log, graceMs, volumes } = this.#deps;
    const exited = Promise.withResolvers<void>();
    const container = new Container(assignment, {
      api,
      engine,
      clock,
      log,
      graceMs,
      adopted,
      outbox: this.#outbox,
      retire: (assignment, guest, exit) => this.#kept.retire(assignment, guest, exit),
      changed: () => {
        if (container.state === "exited") exited.resolve();
        this.#news();
      },
      hungry: () => this.#exchange.wake(),
    });
    this.#containers.set(id, container);
    this.#exits.set(id, exited.promise);
    const life = container.run().finally(() => {
      this.#lives.delete(life);
      volumes.used(assignment.volumes);
    });
    this.#lives.add(life);
  }

  #refuse(id: string): void {
    this.#refused.set(id, {
      id,
      observed: "exited",
      exit: { kind: "stopped", message: "It was not started" },
    });
    this.#news();
  }

  #forget(id: string): void {
    this.#containers.get(id)?.forgotten();
    this.#containers.delete(id);
    this.#refused.delete(id);
    this.#exits.delete(id);
    this.#ended.add(id);
    if (this.#ended.size > ENDED_MAX) this.#ended.delete(this.#ended.values().next().value!);
  }

  #news(): void {
    this.#changed = true;
    this.#bell.ring();
  }

  #evicted(error: ApiRefused): void {
    this.#deps.log("session.refused", { status: error.status, message: error.message });
    this.abandon();
  }

  // ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #tickLoop(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    while (!signal.aborted) {
      let busy = false;
      for (const container of this.#containers.values()) {
        container.tick(clock.now());
        busy ||= container.state !== "exited" && (container.state !== "ready" || !container.idle);
      }
      this.#kept.tick(clock.now());
      await clock.sleep(busy ? TICK_BUSY_MS : TICK_IDLE_MS, signal);
    }
  }

  async #allExited(): Promise<void> {
    await Promise.all(this.#exits.values());
  }

  /** Never fails: there is nothing left to do about it. */
  async #goodbye(): Promise<void> {
    const { api, volumes } = this.#deps;
    const goodbye = { ...this.#report(volumes.news, true), revision: NO_REVISION };
    await api.sync(goodbye, this.#over.signal).catch(() => {});
  }

  /** All reports have arrived, and the scheduler has taken note of every exit. */
  async #farewell(): Promise<void> {
    this.#exchange.wake();
    while (!this.#over.signal.aborted && !(this.#outbox.settled && this.#containers.size === 0)) {
      await this.#deps.clock.sleep(FAREWELL_STEP_MS);
    }
  }
}
