/** Calls of one function in a pretended world: who waits, who runs where, and what is left of each. Pure. */
import type { Container, Demand, Fn, StartFailures } from "../../scheduler/model.ts";
import { STUCK_MS } from "../../scheduler/model.ts";
import { PREEMPT_WINDOW_MS } from "../../scheduler/preempt.ts";
import { demand } from "./snapshots.ts";

interface Call {
  readonly at: number;
  readonly priority: number;
  readonly key: string | null;
  /** What remains of it: less than all of it once it was cut short and goes on from its checkpoint. */
  readonly leftMs: number;
  readonly preemptedAt: number | null;
}

/** Calls that are alike and wait side by side. */
interface Bulk extends Call {
  n: number;
}

interface Running extends Call {
  /** Or the first rank of its gang. */
  readonly container: string;
  readonly since: number;
}

const endOf = ({ since, leftMs }: Running): number => since + leftMs;

/** How the calls of a function go. */
export interface Behaviour {
  callMs: number;
  startMs: number;
  /** From the notice of a preemption until what was done is saved. */
  saveMs: number;
  /** What its containers say instead of becoming ready. */
  broken: string | null;
}

export class PretendCalls {
  readonly behaviour: Behaviour;
  waiting: Bulk[] = [];
  running: Running[] = [];
  done = 0;
  /** Calls that gave way, each time. */
  preempted = 0;
  /** Of those, the ones that had done so within the window before. */
  preemptedAgain = 0;
  failures: StartFailures | null = null;
  lastExitAt: number | null = null;

  constructor(behaviour: Behaviour) {
    this.behaviour = behaviour;
  }

  add(now: number, n: number, { priority = 50, key = null as string | null } = {}): void {
    this.#queue({ at: now, priority, key, leftMs: this.behaviour.callMs, preemptedAt: null, n });
  }

  get queued(): number {
    return this.waiting.reduce((sum, { n }) => sum + n, 0);
  }

  /** The most important first, then the oldest. */
  #queue(calls: Bulk): void {
    this.waiting.push(calls);
    this.waiting.sort((a, b) => b.priority - a.priority || a.at - b.at);
  }

  of = (container: string): Running[] => this.running.filter((call) => call.container === container);

  /** Calls end whose time has come; those who may take others do so at that time. */
  advance(now: number, mayTake: (container: string) => boolean): void {
    for (;;) {
      const ended = this.running.filter((call) => endOf(call) <= now);
      if (ended.length === 0) return;
      this.running = this.running.filter((call) => endOf(call) > now);
      this.done += ended.length;
      for (const call of ended) if (mayTake(call.container)) this.claim(call.container, 1, endOf(call));
    }
  }

  nextEndAt = (): number[] => this.running.map(endOf);

  /** As many as there are slots begin to run. */
  claim(container: string, slots: number, now: number): number {
    let left = Math.max(0, slots);
    for (const [bulk, n] of this.#claimable()) {
      const { n: _, ...call } = bulk, claimed = Math.min(left, n);
      for (let i = 0; i < claimed; i++) this.running.push({ ...call, container, since: now });
      bulk.n -= claimed;
      left -= claimed;
      if (left === 0) break;
    }
    this.waiting = this.waiting.filter(({ n }) => n > 0);
    return Math.max(0, slots) - left;
  }

  /** The calls of a container wait again: from their checkpoint, if they had time to save it. */
  giveBack(container: string, now: number, { saved }: { saved: boolean }): number {
    const back = this.of(container);
    this.running = this.running.filter((call) => call.container !== container);
    for (const { at, priority, key, leftMs, since, preemptedAt } of back) {
      if (saved && preemptedAt !== null && now - preemptedAt < PREEMPT_WINDOW_MS) this.preemptedAgain++;
      const left = saved ? since + leftMs - now : leftMs;
      this.#queue({ at, priority, key, leftMs: left, preemptedAt: saved ? now : null, n: 1 });
    }
    if (saved) this.preempted += back.length;
    return back.length;
  }

  /** How many of each bulk could begin: of each key one at a time. */
  #claimable(): [Bulk, number][] {
    const keys = new Set(this.running.map((call) => call.key));
    return this.waiting.map((bulk) => {
      if (bulk.key === null) return [bulk, bulk.n];
      const isFree = !keys.has(bulk.key);
      keys.add(bulk.key);
      return [bulk, isFree ? 1 : 0];
    });
  }

  demand(now: number): Demand {
    const queued = this.#claimable().reduce((sum, [, n]) => sum + n, 0);
    const levels = Map.groupBy(this.waiting, (calls) => calls.priority);
    const old = this.running.filter((call) => now - call.since > STUCK_MS);
    const first = (times: readonly number[]) => times.length === 0 ? null : Math.min(...times);
    return demand({
      queued,
      queuedSince: first(this.waiting.map((calls) => calls.at)),
      priority: this.waiting[0]?.priority ?? 0,
      levels: [...levels].map(([priority, bulks]) => ({
        priority,
        queued: bulks.reduce((sum, { n }) => sum + n, 0),
        since: bulks[0]!.at,
      })),
      keyed: this.queued - queued,
      leased: this.running.length,
      leasedSince: first(this.running.map((call) => call.since)),
      stuck: old.length,
      callMs: this.done > 0 ? this.behaviour.callMs : null,
    });
  }

  /** What the store tells of a container's calls. */
  leases(container: string): Pick<Container, "leased" | "priority" | "preemptedAt"> {
    const calls = this.of(container);
    const last = (values: readonly (number | null)[]) =>
      values.reduce((a, b) => a === null || b === null ? a ?? b : Math.max(a, b), null);
    return {
      leased: calls.length,
      priority: last(calls.map((call) => call.priority)),
      preemptedAt: last(calls.map((call) => call.preemptedAt)),
    };
  }

  failStart(now: number, message: string): void {
    const again = this.failures?.lastAt === now ? 0 : 1;
    this.failures = { count: (this.failures?.count ?? 0) + again, lastAt: now, message };
  }

  facts(): Pick<Fn, "startFailures" | "lastExitAt" | "startMs"> {
    return {
      startFailures: this.failures,
      lastExitAt: this.lastExitAt,
      startMs: this.done > 0 ? this.behaviour.startMs : null,
    };
  }
}
