/**
 * A pretended world for the scheduler's decisions: nodes, containers, queues and pools as values that obey every plan, in virtual
 * time. No store, no runner, nothing that goes wrong by itself; those are the simulation's. Pure.
 */
import { planViolations } from "../../scheduler/check_plan.ts";
import type {
  Container,
  Fn,
  Gang,
  NeedVolume,
  Node,
  Outlook,
  Plan,
  Pool,
  Provision,
  Snapshot,
  Start,
  Workspace,
} from "../../scheduler/model.ts";
import { reaches } from "../../scheduler/fit.ts";
import { plan } from "../../scheduler/plan.ts";
import { LABEL_VOLUMES } from "../../sdk/labels.ts";
import { type Behaviour, PretendCalls } from "./pretend_calls.ts";
import { node, NOW, snapshot, workspace } from "./snapshots.ts";

const BEHAVIOUR: Behaviour = { callMs: 1_000, startMs: 100, saveMs: 1_000, broken: null };

/** Things happen at multiples of this. */
const STEP_MS = 100;

/** A pool, and how long its provider takes; null: for ever. */
export interface PretendPool {
  pool: Pool;
  joinMs: number | null;
}

export class Pretend {
  now = NOW;
  nodes: Node[];
  containers: Container[] = [];
  gangs: Gang[] = [];
  provisions: Provision[] = [];
  readonly workspaces = new Map<string, Workspace>([["default", workspace()]]);
  readonly pools = new Map<string, PretendPool>();
  readonly fns = new Map<number, Fn>();
  readonly work = new Map<number, PretendCalls>();
  /** What happened, a line each. */
  readonly story: string[] = [];
  /** Violations of any plan so far. */
  readonly broken: string[] = [];
  /** Nodes that are not heard of any more. */
  readonly silent = new Set<string>();
  readonly #ids = new Map<string, number>();

  constructor(nodes: Node[] = []) {
    this.nodes = nodes;
  }

  deploy(fn: Fn, behaviour: Partial<Behaviour> = {}): void {
    this.fns.set(fn.id, fn);
    if (!this.workspaces.has(fn.workspace)) this.admit(workspace({ id: fn.workspace }));
    const before = this.work.get(fn.id);
    const calls = new PretendCalls({ ...BEHAVIOUR, ...behaviour });
    if (before !== undefined) {
      const { waiting, running, done, preempted, lastExitAt } = before;
      Object.assign(calls, { waiting, running, done, preempted, lastExitAt });
    }
    this.work.set(fn.id, calls);
  }

  admit(one: Workspace): void {
    this.workspaces.set(one.id, one);
  }

  call(id: number, n: number, options: { priority?: number; key?: string | null } = {}): void {
    this.work.get(id)!.add(this.now, n, options);
  }

  /** Ticks every `stepMs` for `ms`. */
  run(ms: number, stepMs = 100): void {
    for (const end = this.now + ms; this.now < end; this.now += stepMs) this.tick();
  }

  /** Ticks whenever something happens, and once a second, for `ms`. */
  live(ms: number): void {
    const end = this.now + ms;
    while (this.now < end) {
      const { nextWakeAt } = this.tick();
      const next = Math.min(nextWakeAt ?? Infinity, this.#nextEventAt(), this.now + 1_000);
      this.now = Math.min(
        end,
        this.now + Math.max(STEP_MS, Math.ceil((next - this.now) / STEP_MS) * STEP_MS),
      );
    }
  }

  #nextEventAt(): number {
    const starts = this.containers.flatMap((one) => {
      const { startMs, saveMs } = this.work.get(one.functionId)!.behaviour;
      if (one.desired !== "run") {
        return [this.now + STEP_MS, one.preemptAt === null ? Infinity : one.drainingAt! + saveMs];
      }
      return one.observed === "ready" ? [] : [one.createdAt + startMs];
    });
    const joins = this.provisions.map((one) =>
      one.requestedAt + (this.pools.get(one.pool)!.joinMs ?? Infinity)
    );
    const ends = [...this.work.values()].flatMap((calls) => calls.nextEndAt());
    return Math.min(Infinity, ...[...starts, ...joins, ...ends].filter((at) => at > this.now));
  }

  tick(): Plan {
    this.#advance();
    const before = this.snapshot();
    const made = plan(before, this.now, (prefix) => this.#newId(prefix === "ctr" ? "c" : prefix));
    this.broken.push(
      ...planViolations(before, made, this.now).map(({ name, detail }) => `${name}: ${detail}`),
    );
    this.#obey(made);
    return made;
  }

  snapshot(): Snapshot {
    const functions = [...this.fns.values()].map((fn) => {
      const calls = this.work.get(fn.id)!;
      return { ...fn, demand: calls.demand(this.now), ...calls.facts() };
    });
    const containers = this.containers.map((one) => ({
      ...one,
      ...this.work.get(one.functionId)!.leases(one.id),
    }));
    return snapshot({
      functions,
      containers,
      gangs: this.gangs,
      nodes: this.nodes,
      provisions: this.provisions,
      workspaces: [...this.workspaces.values()],
      pools: [...this.pools.values()].map(({ pool }) => pool),
    });
  }

  changeNode(id: string, some: Partial<Node>): void {
    this.nodes = this.nodes.map((one) => one.id === id ? { ...one, ...some } : one);
  }

  /** The container is gone, and its calls wait again. */
  crash(id: string): void {
    const one = this.containers.find((container) => container.id === id)!;
    this.#exit(one, "crashed", { broken: true });
  }

  say(what: string): void {
    this.story.push(`${((this.now - NOW) / 1_000).toFixed(1)}s ${what}`);
  }

  #newId(prefix: string): string {
    const n = (this.#ids.get(prefix) ?? 0) + 1;
    this.#ids.set(prefix, n);
    return `${prefix}${n}`;
  }

  /** Providers, runners and guests go on: nodes come, containers start, claim, end, exit. */
  #advance(): void {
    for (const one of [...this.provisions]) this.#provide(one);
    for (const calls of this.work.values()) calls.advance(this.now, this.#mayTake);
    for (const one of [...this.containers]) this.#step(one);
    for (const one of [...this.containers]) this.#claim(one);
    this.nodes = this.nodes.map((one) =>
      this.silent.has(one.id) ? one : { ...one, leaseUntil: this.now + 30_000 }
    );
  }

  #provide(one: Provision): void {
    const { pool, joinMs } = this.pools.get(one.pool)!;
    if (one.state === "releasing") {
      this.provisions = this.provisions.filter((other) => other !== one);
      this.nodes = this.nodes.filter((other) => other.id !== one.node);
      return this.say(`${one.id} released`);
    }
    if (one.state === "requested") this.#changeProvision(one.id, { state: "starting" });
    if (joinMs === null || one.node !== null || this.now < one.requestedAt + joinMs) return;
    const id = this.#newId(`${pool.name}-`);
    const { gpus, ...shape } = pool.shape!;
    this.nodes.push(node({
      ...shape,
      id,
      pool: pool.name,
      provision: one.id,
      emptiedAt: this.now,
      cpuMilliFree: shape.cpuMilli,
      memoryMiBFree: shape.memoryMiB,
      diskMiBFree: shape.diskMiB,
      costPerHour: pool.costPerHour,
      gpus: gpus.map((gpu, index) => ({ ...gpu, index, milliFree: 1000, healthy: true })),
    }));
    this.#changeProvision(one.id, { state: "joined", node: id });
    this.pools.set(pool.name, { joinMs, pool: { ...pool, failures: null } });
    this.say(`${one.id} joined as ${id}`);
  }

  #changeProvision(id: string, some: Partial<Provision>): void {
    this.provisions = this.provisions.map((one) => one.id === id ? { ...one, ...some } : one);
  }

  #step(one: Container): void {
    if (this.silent.has(one.node)) return;
    const calls = this.work.get(one.functionId)!, { startMs, broken, saveMs } = calls.behaviour;
    const leader = this.#leaderOf(one);
    if (one.preemptAt !== null && one.id === leader && this.now >= one.drainingAt! + saveMs) {
      const back = calls.giveBack(one.id, this.now, { saved: true });
      if (back > 0) {
        this.say(`${one.id} saved its work and gave back ${back === 1 ? "its call" : `${back} calls`}`);
      }
    }
    const isBusy = calls.of(leader).length > 0;
    if (one.desired === "stop" || (one.desired === "drain" && !isBusy)) return this.#exit(one, "exited");
    if (one.observed !== "ready" && this.now >= one.createdAt + startMs) {
      if (broken !== null) return this.#fail(one, broken);
      this.#change(one.id, { observed: "ready" });
      calls.failures = null;
    }
  }

  #claim(one: Container): void {
    if (one.id !== this.#leaderOf(one) || !this.#takesCalls(one)) return;
    const calls = this.work.get(one.functionId)!;
    const slots = this.fns.get(one.functionId)!.scale.concurrency - calls.of(one.id).length;
    if (calls.claim(one.id, slots, this.now) > 0) this.#change(one.id, { leasedAt: this.now });
  }

  #membersOf = ({ id, gang }: Container): Container[] =>
    this.containers.filter((other) => gang === null ? other.id === id : other.gang === gang);

  /** A gang's calls are in the lease of its first rank. */
  #leaderOf = (one: Container): string => this.#membersOf(one).toSorted((a, b) => a.rank - b.rank)[0]!.id;

  #mayTake = (id: string): boolean => this.#takesCalls(this.containers.find((one) => one.id === id)!);

  #takesCalls(one: Container): boolean {
    const members = this.#membersOf(one);
    const size = this.gangs.find(({ id }) => id === one.gang)?.size ?? 1;
    return members.length === size &&
      members.every(({ observed, desired }) => observed === "ready" && desired === "run");
  }

  #fail(one: Container, message: string): void {
    this.work.get(one.functionId)!.failStart(this.now, message);
    this.#exit(one, `failed to start: ${message}`);
  }

  #exit(one: Container, how: string, { broken = false } = {}): void {
    const calls = this.work.get(one.functionId)!;
    const back = calls.giveBack(this.#leaderOf(one), this.now, { saved: false });
    this.containers = this.containers.filter((other) => other.id !== one.id);
    this.#take(one, -1);
    calls.lastExitAt = this.now;
    this.gangs = this.gangs.flatMap((gang) =>
      gang.id !== one.gang
        ? [gang]
        : this.containers.some((other) => other.gang === gang.id)
        ? [{ ...gang, brokenAt: this.now }]
        : []
    );
    const lost = back === 0 ? "" : back === 1 ? ", its call waits again" : `, ${back} calls wait again`;
    this.say(`${one.id} ${how}${broken || back > 0 ? lost : ""}`);
  }

  #obey(made: Plan): void {
    this.#explain(made);
    for (const id of made.lostNodes) {
      this.changeNode(id, { state: "lost" });
      this.say(`${id} is lost`);
    }
    for (const id of made.lostContainers) {
      this.#exit(this.containers.find((one) => one.id === id)!, "is lost", { broken: true });
    }
    this.#obeyPools(made);
    for (const one of made.end) {
      this.#change(one.container, {
        desired: one.desired,
        drainingAt: this.now,
        preemptAt: one.preemptAt ?? null,
      });
      const within = one.preemptAt === undefined ? "" : ` within ${(one.preemptAt - this.now) / 1_000}s`;
      this.say(`${one.desired} ${one.container}${within}: ${one.reason}`);
    }
    for (const { functionId, failure } of made.refuse) {
      const calls = this.work.get(functionId)!, failed = calls.queued;
      calls.waiting = [];
      this.say(`fail ${failed} of ${this.fns.get(functionId)!.name}: ${failure.message}`);
    }
    for (const id of made.busy) this.#change(id, { busyAt: this.now });
    for (const gang of made.gangs) this.gangs.push({ ...gang, createdAt: this.now, brokenAt: null });
    for (const one of made.start) if (this.#settles(one)) this.#begin(one);
    for (const { workspace: id, used } of made.usage) {
      this.admit({ ...this.workspaces.get(id)!, used, usedAt: this.now });
    }
  }

  #explain({ waiting }: Plan): void {
    for (const { functionId, reason, slots, callMs, startsMs } of waiting) {
      const fn = this.fns.get(functionId)!;
      const startsAt = startsMs === null ? null : this.now + startsMs;
      const outlook: Outlook | null = reason === null ? null : { slots, callMs, startsAt, saidAt: this.now };
      this.fns.set(functionId, { ...fn, waiting: reason, outlook });
      if (reason !== null && reason !== fn.waiting) this.say(`${fn.name} waits: ${reason}`);
    }
  }

  #obeyPools({ ask, release, drainNodes }: Plan): void {
    for (const { id, pool, deadlineAt, reason } of ask) {
      this.provisions.push({ id, pool, state: "requested", node: null, requestedAt: this.now, deadlineAt });
      this.say(`ask ${pool} for ${id}: ${reason}`);
    }
    for (const id of drainNodes) {
      this.changeNode(id, { state: "draining" });
      this.say(`drain node ${id}`);
    }
    for (const { provision, event, reason } of release) {
      if (event === "fail") this.#failProvision(provision, reason);
      else this.#changeProvision(provision, { state: "releasing" });
      this.say(`${event} ${provision}: ${reason}`);
    }
  }

  #failProvision(id: string, message: string): void {
    const { pool: name } = this.provisions.find((one) => one.id === id)!;
    this.provisions = this.provisions.filter((one) => one.id !== id);
    const { pool, joinMs } = this.pools.get(name)!;
    const failures = { count: (pool.failures?.count ?? 0) + 1, lastAt: this.now, message };
    this.pools.set(name, { joinMs, pool: { ...pool, failures } });
  }

  /** Volumes of it that were never used come to be where it starts; false when one is elsewhere. */
  #settles({ node: id, volumes = [] }: Start): boolean {
    const at = this.nodes.find((node) => node.id === id)!;
    const placed = (one: NeedVolume): NeedVolume =>
      one.id === null || one.home !== null || !volumes.includes(one.id)
        ? one
        : { ...one, home: one.storage === "node" ? id : at.labels[LABEL_VOLUMES]!, node: id };
    for (const fn of this.fns.values()) {
      this.fns.set(fn.id, { ...fn, need: { ...fn.need, volumes: fn.need.volumes.map(placed) } });
    }
    const all = [...this.fns.values()].flatMap(({ need }) => need.volumes);
    return all.every((one) => !volumes.includes(one.id ?? "") || reaches(one, at));
  }

  #begin(one: Start): void {
    const { digest, name } = this.fns.get(one.functionId)!;
    const container: Container = {
      ...one,
      digest,
      desired: "run",
      observed: "pending",
      leased: 0,
      priority: null,
      preemptedAt: null,
      preemptAt: null,
      createdAt: this.now,
      busyAt: this.now,
      leasedAt: null,
      drainingAt: null,
      secretsRevision: this.fns.get(one.functionId)!.secretsRevision,
    };
    this.containers.push(container);
    this.#take(container, 1);
    const gpus = one.gpus.map(({ index, milli }) => ` gpu ${index}${milli < 1000 ? `:${milli / 1000}` : ""}`)
      .join("");
    const rank = one.gang === null ? "" : ` as rank ${one.rank} of ${one.gang}`;
    this.say(`start ${one.id} of ${name}${rank} on ${one.node}${gpus}: ${one.reason}`);
  }

  #take(one: Container, sign: 1 | -1): void {
    const at = this.nodes.find(({ id }) => id === one.node);
    if (at === undefined) return;
    const milli = (index: number) => one.gpus.find((share) => share.index === index)?.milli ?? 0;
    this.changeNode(at.id, {
      cpuMilliFree: at.cpuMilliFree - sign * one.cpuMilli,
      memoryMiBFree: at.memoryMiBFree - sign * one.memoryMiB,
      diskMiBFree: at.diskMiBFree - sign * one.diskMiB,
      ports: one.port === null
        ? at.ports
        : sign > 0
        ? [...at.ports, one.port]
        : at.ports.filter((port) => port !== one.port),
      gpus: at.gpus.map((gpu) => ({ ...gpu, milliFree: gpu.milliFree - sign * milli(gpu.index) })),
      emptiedAt: this.now,
    });
  }

  #change(id: string, some: Partial<Container>): void {
    this.containers = this.containers.map((one) => one.id === id ? { ...one, ...some } : one);
  }
}
