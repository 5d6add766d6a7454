/**
 * The runner's verb about calls: what finished comes in, claimed calls go out, in one round trip. An exchange that brings
 * reports is answered after their commit; one that finds nothing to give is parked until there is, and released by a newer
 * one of its node. Inputs go from the table to the reply as text, without being parsed here.
 */
import {
  attemptsOf,
  cancellationsOf,
  claim,
  type Claimed,
  type ClaimedRange,
  claimsOfExchanges,
  complete,
  type Finished,
  giveBack,
  type Retried,
  retry,
} from "../scheduler/store/calls.ts";
import type { Pool } from "../scheduler/store/connect.ts";
import { functionsOf } from "../scheduler/store/nodes.ts";
import { insertEvents, insertLogs } from "../scheduler/store/telemetry.ts";
import type { Wakes } from "../scheduler/wakes.ts";
import { parseDuration } from "../sdk/duration.ts";
import type { Clock } from "../sdk/ports.ts";
import type { ExchangeRequest, Failure, Retries } from "../sdk/protocol.ts";
import { retryDelayMs, type RetryPolicy } from "../sdk/retry.ts";
import { Bell } from "./bell.ts";
import { Emptiness } from "./emptiness.ts";

export interface ExchangeDeps {
  readonly sql: Pool;
  readonly clock: Clock;
  readonly wakes: Wakes;
}

/** A parked exchange looks by itself this often, should a wake have been lost. */
const LOOK_MS = 1_000;

/** A node that was told to cancel a call, and has not reported it yet, is told again after this long. */
const RETELL_MS = 1_000;

const NO_CALLS: Claimed = { ranges: [], exhausted: true };

type GivenRange = ClaimedRange & { readonly containerId: string };

export class Exchanges {
  readonly #deps: ExchangeDeps;
  readonly #parked = new Map<string, Bell>();
  /** Calls that parked exchanges would take at once, by function. */
  readonly #hungry = new Map<number, number>();
  /** When each node was last told to cancel what. */
  readonly #told = new Map<string, Map<string, number>>();
  /** Which function a container runs never changes. */
  readonly #functions = new Map<string, number>();
  /** Functions without waiting calls; nodes without calls to cancel. */
  readonly #idle: Emptiness<number>;
  readonly #calm: Emptiness<string>;

  constructor(deps: ExchangeDeps) {
    this.#deps = deps;
    this.#idle = new Emptiness(deps, "ready");
    this.#calm = new Emptiness(deps, "node");
  }

  /** Answers with the text of an `ExchangeReply`. */
  async exchange(nodeId: string, request: ExchangeRequest, signal: AbortSignal): Promise<string> {
    this.#release(nodeId);
    const news = this.#keepTelemetry(nodeId, request);
    if (request.reports.length === 0 && request.missed.length === 0) {
      await news;
      return await this.#park(nodeId, request, signal);
    }
    const [, again, claims, cancels] = await Promise.all([
      news.then(() => this.#settle(nodeId, request)),
      this.#resend(nodeId, request),
      this.#claim(nodeId, request),
      this.#cancels(nodeId),
    ]);
    return replyText([...again, ...claims], cancels);
  }

  /** Whether containers wait for `calls` calls of a function, so that no scheduler need look after them. */
  wouldTake(functionId: number, calls: number): boolean {
    return calls <= (this.#hungry.get(functionId) ?? 0);
  }

  /** Answers all that are parked. */
  release(): void {
    for (const nodeId of [...this.#parked.keys()]) this.#release(nodeId);
  }

  #release(nodeId: string): void {
    const bell = this.#parked.get(nodeId);
    this.#parked.delete(nodeId);
    bell?.ring();
  }

  async #park(nodeId: string, request: ExchangeRequest, signal: AbortSignal): Promise<string> {
    const { clock, wakes } = this.#deps;
    using bell = new Bell(clock).on(wakes, "node", nodeId);
    await this.#learnFunctions(nodeId, request);
    const functionIds = new Set(
      request.free.flatMap(({ container }) => this.#functions.get(container) ?? []),
    );
    for (const id of functionIds) bell.on(wakes, "ready", id);
    this.#parked.set(nodeId, bell);
    const until = clock.now() + request.waitMs;
    // Looking comes after the bell is hung up: what comes in between rings it.
    while (true) {
      const [claims, cancels] = await Promise.all([
        this.#claim(nodeId, request),
        this.#cancels(nodeId),
      ]);
      const superseded = this.#parked.get(nodeId) !== bell;
      const over = superseded || clock.now() >= until || signal.aborted;
      if (claims.length > 0 || cancels.length > 0 || over) {
        if (!superseded) this.#parked.delete(nodeId);
        return replyText(claims, cancels);
      }
      await bell.rung(Math.min(LOOK_MS, until - clock.now()), signal);
    }
  }

  /** Counts what a parked exchange would take, until it is disposed of. */
  #hunger({ free }: ExchangeRequest, each: (functionId: number) => void): Disposable {
    const add = (sign: 1 | -1) => {
      for (const { container, calls } of free) {
        const id = this.#functions.get(container);
        if (id !== undefined) this.#hungry.set(id, (this.#hungry.get(id) ?? 0) + sign * calls);
      }
    };
    add(1);
    for (const id of new Set(free.flatMap(({ container }) => this.#functions.get(container) ?? []))) each(id);
    return { [Symbol.dispose]: () => add(-1) };
  }

  /** Calls of a node to cancel, those it was not told of just now. */
  async #cancels(nodeId: string): Promise<(readonly [number, number])[]> {
    const { sql, clock } = this.#deps;
    const wanted = await this.#calm.look(
      nodeId,
      [],
      () => cancellationsOf(sql, nodeId),
      (found) => found.length === 0,
    );
    const told = this.#told.get(nodeId);
    if (wanted.length === 0) {
      if (told !== undefined) this.#told.delete(nodeId);
      return [];
    }
    const since = clock.now() - RETELL_MS;
    const due = wanted.filter((key) => (told?.get(String(key)) ?? 0) <= since);
    this.#told.set(
      nodeId,
      new Map(wanted.map((key) => [String(key), due.includes(key) ? clock.now() : told!.get(String(key))!])),
    );
    return due;
  }

  async #learnFunctions(nodeId: string, { free }: ExchangeRequest): Promise<void> {
    const unknown = free.map(({ container }) => container).filter((id) => !this.#functions.has(id));
    if (unknown.length === 0) return;
    for (const [id, functionId] of await functionsOf(this.#deps.sql, nodeId, unknown)) {
      this.#functions.set(id, functionId);
    }
  }

  async #claim(nodeId: string, request: ExchangeRequest): Promise<GivenRange[]> {
    await this.#learnFunctions(nodeId, request);
    const { sql, clock } = this.#deps;
    const now = new Date(clock.now());
    const claimed = await Promise.all(request.free.map(async ({ container, calls }) => {
      const functionId = this.#functions.get(container);
      if (functionId === undefined) return { container, ranges: [] };
      const look = () => claim(sql, now, { containerId: container, nodeId, exchange: request.seq, calls });
      const { ranges } = await this.#idle.look(functionId, NO_CALLS, look, ({ exhausted }) => exhausted);
      return { container, ranges };
    }));
    return claimed.flatMap(({ container, ranges }) =>
      ranges.map((range) => ({ ...range, containerId: container }))
    );
  }

  async #resend(nodeId: string, { missed }: ExchangeRequest): Promise<GivenRange[]> {
    return missed.length === 0 ? [] : await claimsOfExchanges(this.#deps.sql, nodeId, missed);
  }

  /** Log lines and events are there before the result of their call is. */
  async #keepTelemetry(nodeId: string, { logs, events }: ExchangeRequest): Promise<void> {
    if (logs.length === 0 && events.length === 0) return;
    const { sql, wakes } = this.#deps;
    const batches = await Promise.all([insertLogs(sql, nodeId, logs), insertEvents(sql, nodeId, events)]);
    for (const id of new Set(batches.flat())) wakes.wake("call", id);
  }

  /** Every way in which a call can have ended. */
  async #settle(nodeId: string, request: ExchangeRequest): Promise<void> {
    if (request.reports.length === 0) return;
    const { sql, clock, wakes } = this.#deps;
    const now = new Date(clock.now());
    const { ended, failed, unstarted } = sort(request.reports);
    const { final, again } = await this.#decide(failed);
    const [batchIds, retried, back] = await Promise.all([
      complete(sql, nodeId, [...ended, ...final]),
      retry(sql, now, nodeId, again),
      giveBack(sql, now, nodeId, unstarted),
    ]);
    for (const id of [...batchIds, ...retried.batchIds, ...back.batchIds]) wakes.wake("done", id);
    for (const id of [...retried.functionIds, ...back.functionIds]) wakes.wake("ready", id);
    if (again.length > 0) wakes.wake("tick");
  }

  /** Which failures are final, and which get another attempt. */
  async #decide(failed: readonly Failed[]): Promise<{ final: Finished[]; again: Retried[] }> {
    const final: Finished[] = [];
    const again: Retried[] = [];
    if (failed.length === 0) return { final, again };
    const attempts = await attemptsOf(this.#deps.sql, [...new Set(failed.map((one) => one.lease))]);
    for (const one of failed) {
      const known = attempts.get(one.lease);
      if (known === undefined) continue;
      const delayMs = retryDelayMs(policyOf(known.spec.retries), one.value, known.attempt);
      if (delayMs === null) final.push({ ...one, state: 1 });
      else again.push({ ...one, failure: one.value, delayMs });
    }
    return { final, again };
  }
}

type Failed = Omit<Finished, "state"> & { readonly value: Failure };

function sort(reports: ExchangeRequest["reports"]) {
  const ended: Finished[] = [];
  const failed: Failed[] = [];
  const unstarted: { lease: number; index: number }[] = [];
  for (const { lease, done } of reports) {
    for (const [index, outcome, value, startedAt, endedAt, cpuUs] of done) {
      const one = { lease, index, startedAt, endedAt, cpuUs };
      if (outcome === 0) ended.push({ ...one, state: 0, value });
      else if (outcome === 1) failed.push({ ...one, value: value as Failure });
      else if (outcome === 2) ended.push({ ...one, state: 2, value });
      else unstarted.push({ lease, index });
    }
  }
  return { ended, failed, unstarted };
}

const policyOf = ({ max, backoff, factor, maxBackoff, on }: Retries): RetryPolicy => ({
  max,
  backoffMs: parseDuration(backoff),
  factor,
  maxBackoffMs: parseDuration(maxBackoff),
  on,
});

function replyText(ranges: readonly GivenRange[], cancels: readonly (readonly [number, number])[]): string {
  const claims = ranges.map(({ inputs, containerId, lease, batch, lo, attempt, method }) => {
    const head = JSON.stringify({ lease, container: containerId, batch, lo, attempt, method });
    return `${head.slice(0, -1)},"inputs":[${inputs}]}`;
  });
  return `{"claims":[${claims.join(",")}],"cancels":${JSON.stringify(cancels)}}`;
}
