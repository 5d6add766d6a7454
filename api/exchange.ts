/**
 * The runner's verb about calls: what finished comes in, claimed calls go out, in one round trip. An exchange that brings
 * reports is answered after their commit; one that finds nothing to give is parked until there is, and released by a newer
 * one of its node. Inputs go from the table to the reply as text, without being parsed here.
 */
import {
  cancellationsOf,
  type Claimed,
  type ClaimedRange,
  claimKeyed,
  claimsOfExchanges,
  claimUnkeyed,
  complete,
  failedAttempts,
  type Finished,
  giveBack,
  type Retried,
  retry,
  SOME_HAVE_KEYS,
} from "../scheduler/store/calls.ts";
import type { Pool } from "../scheduler/store/connect.ts";
import { partsToCancel } from "../scheduler/store/gangs.ts";
import { type Role, rolesOf } from "../scheduler/store/nodes.ts";
import { isPart } from "../scheduler/store/parts.ts";
import { insertContainerLogs } from "../scheduler/store/container_logs.ts";
import { insertEvents, insertLogs } from "../scheduler/store/telemetry.ts";
import { NOTHING, union } from "../scheduler/store/touched.ts";
import { keepSaidValues } from "../scheduler/store/values.ts";
import type { Wakes } from "../scheduler/wakes.ts";
import type { Clock } from "../sdk/ports.ts";
import type { ExchangeRequest, Master } from "../sdk/protocol.ts";
import { policyOf, retryDelayMs } from "../sdk/retry.ts";
import { Bell } from "./bell.ts";
import { Emptiness } from "./emptiness.ts";
import { GangExchange } from "./gang_exchange.ts";
import { byOutcome, type Failed, saidValues } from "./outcomes.ts";

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

type GivenRange = ClaimedRange & { readonly containerId: string } & Partial<Master>;

export class Exchanges {
  readonly #deps: ExchangeDeps;
  readonly #parked = new Map<string, Bell>();
  /** When each node was last told to cancel what. */
  readonly #told = new Map<string, Map<string, number>>();
  /** What containers are for never changes. */
  readonly #roles = new Map<string, Role>();
  /** Functions without waiting calls; nodes without calls to cancel. */
  readonly #idle: Emptiness<number>;
  readonly #calm: Emptiness<string>;
  readonly #gangs: GangExchange;

  constructor(deps: ExchangeDeps) {
    this.#deps = deps;
    this.#idle = new Emptiness(deps, "ready");
    this.#calm = new Emptiness(deps, "node");
    this.#gangs = new GangExchange({ ...deps, idle: this.#idle });
  }

  /** Answers with the text of an `ExchangeReply`. */
  async exchange(nodeId: string, request: ExchangeRequest, signal: AbortSignal): Promise<string> {
    this.#release(nodeId);
    await this.#keepValues(nodeId, request);
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
    await this.#learnRoles(nodeId, request);
    const functionIds = new Set(
      request.free.flatMap(({ container }) => this.#roles.get(container)?.functionId ?? []),
    );
    for (const id of functionIds) bell.on(wakes, "ready", id);
    this.#parked.set(nodeId, bell);
    const until = clock.now() + request.waitMs;
    // Looking comes after the bell is hung up: what comes in between rings it.
    while (true) {
      // What a runner would be given that has gone would be missing for as long as it may be on its way.
      const [claims, cancels] = signal.aborted ? [[], []] : await Promise.all([
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

  /** Calls of a node to cancel, those it was not told of just now. */
  async #cancels(nodeId: string): Promise<(readonly [number, number])[]> {
    const { sql, clock } = this.#deps;
    const wanted = await this.#calm.look(
      nodeId,
      [],
      async () => {
        const now = new Date(clock.now());
        return (await Promise.all([cancellationsOf(sql, nodeId), partsToCancel(sql, now, nodeId)])).flat();
      },
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

  async #learnRoles(nodeId: string, { free }: ExchangeRequest): Promise<void> {
    const unknown = free.map(({ container }) => container).filter((id) => !this.#roles.has(id));
    if (unknown.length === 0) return;
    for (const [id, role] of await rolesOf(this.#deps.sql, nodeId, unknown)) this.#roles.set(id, role);
  }

  async #claim(nodeId: string, request: ExchangeRequest): Promise<GivenRange[]> {
    await this.#learnRoles(nodeId, request);
    const free = request.free.flatMap((one) => {
      const role = this.#roles.get(one.container);
      return role === undefined ? [] : [{ ...one, ...role }];
    });
    const members = free.flatMap((one) => one.rank === null ? [] : [{ ...one, rank: one.rank }]);
    const claimed = await Promise.all([
      this.#gangs.claim(nodeId, request.seq, members),
      ...free.filter(({ rank }) => rank === null).map((one) => this.#claimFor(nodeId, request.seq, one)),
    ]);
    return claimed.flat();
  }

  async #claimFor(
    nodeId: string,
    exchange: number,
    { container, calls, functionId }: ExchangeRequest["free"][number] & Role,
  ): Promise<GivenRange[]> {
    const { sql, clock } = this.#deps;
    const now = new Date(clock.now());
    const asked = { containerId: container, nodeId, exchange, calls };
    const isExhausted = (found: Claimed | typeof SOME_HAVE_KEYS) =>
      found !== SOME_HAVE_KEYS && found.exhausted;
    const found = await this.#idle.look(
      functionId,
      NO_CALLS,
      () => claimUnkeyed(sql, now, asked),
      isExhausted,
    );
    const { ranges } = found !== SOME_HAVE_KEYS
      ? found
      : await this.#idle.lookInTurn(functionId, NO_CALLS, () => claimKeyed(sql, now, asked), isExhausted);
    return ranges.map((range) => ({ ...range, containerId: container }));
  }

  async #resend(nodeId: string, { missed }: ExchangeRequest): Promise<GivenRange[]> {
    if (missed.length === 0) return [];
    const [claims, parts] = await Promise.all([
      claimsOfExchanges(this.#deps.sql, nodeId, missed),
      this.#gangs.resend(nodeId, missed),
    ]);
    return [...claims, ...parts];
  }

  /** What results and yields stand for is kept before they are. */
  async #keepValues(nodeId: string, request: ExchangeRequest): Promise<void> {
    const said = saidValues(request);
    if (said.length > 0) await keepSaidValues(this.#deps.sql, nodeId, said);
  }

  /** Log lines and events are there before the result of their call is. */
  async #keepTelemetry(nodeId: string, { logs, events, containerLogs }: ExchangeRequest): Promise<void> {
    const { sql, wakes } = this.#deps;
    const containers = await insertContainerLogs(sql, nodeId, containerLogs);
    for (const id of containers) wakes.wake("container", id);
    if (logs.length === 0 && events.length === 0) return;
    const batches = await Promise.all([
      insertLogs(sql, nodeId, logs.filter(([lease]) => !isPart(lease))),
      insertEvents(sql, nodeId, events.filter(([lease]) => !isPart(lease))),
      this.#gangs.keepTelemetry(
        nodeId,
        logs.filter(([lease]) => isPart(lease)),
        events.filter(([lease]) => isPart(lease)),
      ),
    ]);
    for (const id of new Set(batches.flat())) wakes.wake("call", id);
  }

  /** Every way in which a call can have ended. */
  async #settle(nodeId: string, request: ExchangeRequest): Promise<void> {
    if (request.reports.length === 0) return;
    const { sql, clock, wakes } = this.#deps;
    const now = new Date(clock.now());
    const { ended, failed, unstarted, parts } = byOutcome(request.reports);
    const { final, again } = await this.#decide(failed);
    const [completed, retried, back] = await Promise.all([
      complete(sql, nodeId, [...ended, ...final]),
      again.length === 0 ? NOTHING : sql.begin((tx) => retry(tx, now, nodeId, again)),
      unstarted.length === 0 ? NOTHING : sql.begin((tx) => giveBack(tx, now, nodeId, unstarted)),
      this.#gangs.settle(nodeId, parts),
    ]);
    const { batchIds, functionIds } = union(
      ...[completed, retried, back].map((one) => ({ ...NOTHING, ...one })),
    );
    for (const id of batchIds) wakes.wake("done", id);
    for (const id of functionIds) wakes.wake("ready", id);
    if (again.length > 0) wakes.wake("tick");
  }

  /** Which failures are final, and which get another attempt. */
  async #decide(failed: readonly Failed[]): Promise<{ final: Finished[]; again: Retried[] }> {
    const final: Finished[] = [];
    const again: Retried[] = [];
    if (failed.length === 0) return { final, again };
    const known = await failedAttempts(this.#deps.sql, failed);
    for (const [i, one] of failed.entries()) {
      const attempt = known[i];
      if (!attempt) continue;
      const delayMs = retryDelayMs(policyOf(attempt.retries), one.value, attempt.past);
      if (delayMs === null) final.push({ ...one, state: 1 });
      else again.push({ ...one, failure: one.value, delayMs });
    }
    return { final, again };
  }
}

function replyText(ranges: readonly GivenRange[], cancels: readonly (readonly [number, number])[]): string {
  const claims = ranges.map(({ inputs, containerId, lease, batch, lo, attempt, method, address, port }) => {
    const master = address === undefined ? {} : { master: { address, port } };
    const head = JSON.stringify({ lease, container: containerId, batch, lo, attempt, method, ...master });
    return `${head.slice(0, -1)},"inputs":[${inputs}]}`;
  });
  return `{"claims":[${claims.join(",")}],"cancels":${JSON.stringify(cancels)}}`;
}
