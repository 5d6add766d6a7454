/**
 * A pretended world for the scheduler's decisions: nodes, containers and queues as values that obey every plan, in virtual time.
 * No store, no runner, nothing lost; those are the simulation's. Pure.
 */
import { planViolations } from "../../scheduler/check_plan.ts";
import type { Container, Fn, Node, Plan, Snapshot } from "../../scheduler/model.ts";
import { plan } from "../../scheduler/plan.ts";
import { demand, NOW, snapshot } from "./snapshots.ts";

/** Calls of one function, all alike. */
interface Work {
  callMs: number;
  startMs: number;
  /** Arrival of each call that waits. */
  waiting: number[];
  /** End of each call that runs, by container. */
  running: { container: string; since: number; endsAt: number }[];
  done: number;
  /** What its containers say instead of becoming ready. */
  broken: string | null;
  failures: Fn["startFailures"];
  lastExitAt: number | null;
}

export class Pretend {
  now = NOW;
  nodes: Node[];
  containers: Container[] = [];
  readonly fns = new Map<number, Fn>();
  readonly work = new Map<number, Work>();
  /** What happened, a line each. */
  readonly story: string[] = [];
  /** Violations of any plan so far. */
  readonly broken: string[] = [];
  #ids = 0;

  constructor(nodes: Node[]) {
    this.nodes = nodes;
  }

  deploy(fn: Fn, { callMs = 1_000, startMs = 100, broken = null as string | null } = {}): void {
    this.fns.set(fn.id, fn);
    const { waiting = [], running = [], done = 0, lastExitAt = null } = this.work.get(fn.id) ?? {};
    this.work.set(fn.id, { callMs, startMs, broken, failures: null, waiting, running, done, lastExitAt });
  }

  call(id: number, n: number): void {
    for (let i = 0; i < n; i++) this.work.get(id)!.waiting.push(this.now);
  }

  /** Ticks every `stepMs` for `ms`. */
  run(ms: number, stepMs = 100): void {
    for (const end = this.now + ms; this.now < end; this.now += stepMs) this.tick();
  }

  tick(): Plan {
    this.#advance();
    const before = this.snapshot();
    const made = plan(before, this.now, () => `c${++this.#ids}`);
    this.broken.push(...planViolations(before, made).map(({ name, detail }) => `${name}: ${detail}`));
    this.#obey(made);
    return made;
  }

  snapshot(): Snapshot {
    const functions = [...this.fns.values()].map((fn) => ({
      ...fn,
      demand: this.#demand(fn.id),
      startFailures: this.work.get(fn.id)!.failures,
      lastExitAt: this.work.get(fn.id)!.lastExitAt,
    }));
    const containers = this.containers.map((one) => ({ ...one, leased: this.#callsOf(one).length }));
    return snapshot({ functions, containers, nodes: this.nodes });
  }

  #demand(id: number): Fn["demand"] {
    const { waiting, running, callMs, done } = this.work.get(id)!;
    return demand({
      queued: waiting.length,
      queuedSince: waiting[0] ?? null,
      leased: running.length,
      leasedSince: running.reduce<number | null>((first, { since }) => Math.min(first ?? since, since), null),
      callMs: done > 0 ? callMs : null,
    });
  }

  #callsOf = (one: Container) =>
    this.work.get(one.functionId)!.running.filter((call) => call.container === one.id);

  /** Runners and guests go on: starts, claims, ends, exits. */
  #advance(): void {
    for (const work of this.work.values()) {
      const left = work.running.filter((call) => call.endsAt > this.now);
      work.done += work.running.length - left.length;
      work.running = left;
    }
    for (const one of [...this.containers]) this.#step(one);
    this.nodes = this.nodes.map((node) => ({ ...node, leaseUntil: this.now + 30_000 }));
  }

  #step(one: Container): void {
    const work = this.work.get(one.functionId)!;
    const calls = this.#callsOf(one);
    if (one.desired === "stop" || (one.desired === "drain" && calls.length === 0)) {
      return this.#exit(one, "exited");
    }
    if (one.observed !== "ready" && this.now >= one.createdAt + work.startMs) {
      if (work.broken !== null) return this.#fail(one, work.broken);
      one = this.#change(one.id, { observed: "ready" });
      work.failures = null;
    }
    if (one.observed !== "ready" || one.desired !== "run") return;
    const slots = this.fns.get(one.functionId)!.scale.concurrency - calls.length;
    for (const _ of work.waiting.splice(0, slots)) {
      work.running.push({ container: one.id, since: this.now, endsAt: this.now + work.callMs });
      this.#change(one.id, { leasedAt: this.now });
    }
  }

  #fail(one: Container, message: string): void {
    const work = this.work.get(one.functionId)!;
    const again = work.failures?.lastAt === this.now ? 0 : 1;
    work.failures = { count: (work.failures?.count ?? 0) + again, lastAt: this.now, message };
    this.#exit(one, `failed to start: ${message}`);
  }

  #exit(one: Container, how: string): void {
    this.containers = this.containers.filter((other) => other.id !== one.id);
    this.#take(one, -1);
    this.work.get(one.functionId)!.lastExitAt = this.now;
    this.#say(`${one.id} ${how}`);
  }

  #obey({ start, end, busy, refuse, waiting }: Plan): void {
    for (const { functionId, reason } of waiting) {
      const fn = this.fns.get(functionId)!;
      this.fns.set(functionId, { ...fn, waiting: reason });
      if (reason !== null) this.#say(`${fn.name} waits: ${reason}`);
    }
    for (const one of end) {
      this.#change(one.container, { desired: one.desired, drainingAt: this.now });
      this.#say(`${one.desired} ${one.container}: ${one.reason}`);
    }
    for (const { functionId, failure } of refuse) {
      const failed = this.work.get(functionId)!.waiting.splice(0).length;
      this.#say(`fail ${failed} of ${this.fns.get(functionId)!.name}: ${failure.message}`);
    }
    for (const id of busy) this.#change(id, { busyAt: this.now });
    for (const one of start) {
      const { digest, name } = this.fns.get(one.functionId)!;
      const container: Container = {
        ...one,
        digest,
        desired: "run",
        observed: "pending",
        leased: 0,
        createdAt: this.now,
        busyAt: this.now,
        leasedAt: null,
        drainingAt: null,
      };
      this.containers.push(container);
      this.#take(container, 1);
      const gpus = one.gpus.map(({ index, milli }) =>
        ` gpu ${index}${milli < 1000 ? `:${milli / 1000}` : ""}`
      ).join("");
      this.#say(`start ${one.id} of ${name} on ${one.node}${gpus}: ${one.reason}`);
    }
  }

  #take(one: Container, sign: 1 | -1): void {
    const milli = (index: number) => one.gpus.find((share) => share.index === index)?.milli ?? 0;
    this.nodes = this.nodes.map((node) =>
      node.id !== one.node ? node : {
        ...node,
        cpuMilliFree: node.cpuMilliFree - sign * one.cpuMilli,
        memoryMiBFree: node.memoryMiBFree - sign * one.memoryMiB,
        gpus: node.gpus.map((gpu) => ({ ...gpu, milliFree: gpu.milliFree - sign * milli(gpu.index) })),
      }
    );
  }

  #change(id: string, some: Partial<Container>): Container {
    this.containers = this.containers.map((one) => one.id === id ? { ...one, ...some } : one);
    return this.containers.find((one) => one.id === id)!;
  }

  #say(what: string): void {
    this.story.push(`${((this.now - NOW) / 1_000).toFixed(1)}s ${what}`);
  }
}
