/**
 * The call loop: what finished goes out, what fits comes in.
 *
 * Exchanges that carry something go one at a time, each until it has arrived, so that batches form by themselves while one is
 * on its way. When there is nothing to tell, one without anything is *parked* at the api until there are calls to give; a newer
 * one releases it.
 */
import type { Claim, ExchangeReply } from "../sdk/protocol.ts";
import type { Clock, Log } from "../sdk/ports.ts";
import { ApiAway, ApiRefused, backoffMs, type NodeApi } from "./api.ts";
import { Bell } from "./bell.ts";
import type { HeldCall, HeldLease } from "./calls.ts";
import type { Leases } from "./leases.ts";
import { holdShare } from "./lookahead.ts";
import { apart, type Batch, type Outbox, recordsOf } from "./outbox.ts";

/** What the exchange needs of a container. */
export interface Taker {
  /** True when it holds no call. */
  readonly idle: boolean;
  free(share: number): number;
  give(lease: HeldLease): void;
  cancel(call: HeldCall): void;
}

export interface ExchangeDeps {
  readonly api: NodeApi;
  readonly session: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly outbox: Outbox;
  readonly leases: Leases;
  readonly containers: ReadonlyMap<string, Taker>;
  /** The api does not know this session any more. */
  refused(error: ApiRefused): void;
}

const PARK_MS = 10_000;
/** While every container has work at hand, reports wait this long for company. */
const COMPANY_MS = 8;
/** Log lines and events without a report wait this long for company. */
const RECORDS_MS = 20;
/** Pause before parking when nothing is free. */
const LINGER_MS = 15;
const MISSED_MAX = 1_000;
const FREE_CALLS_MAX = 10_000;
/** A batch is refused as a whole when something in it cannot be stored. */
const UNSTORABLE = [400, 413];

export class Exchange {
  readonly #deps: ExchangeDeps;
  readonly #bell: Bell;
  #seq = 0;
  #missed: number[] = [];
  /** What was free when the parked one was sent; null when none is parked. */
  #parked: ReadonlyMap<string, number> | null = null;
  #failures = 0;
  #notBefore = 0;
  #sentAt = 0;
  #answeredAt = -LINGER_MS;
  #urgent = false;
  #enough = 1;
  #inputCharacters = 1;

  constructor(deps: ExchangeDeps) {
    this.#deps = deps;
    this.#bell = new Bell(deps.clock);
    deps.outbox.onReport = () => this.#reportCame();
    deps.outbox.onRecord = () => this.#bell.ring();
  }

  /** Somebody could do with calls, or has something to tell at once. */
  wake(): void {
    this.#urgent = true;
    this.#bell.ring();
  }

  /** Exchanges until `signal` aborts; ring the bell (`wake`) after aborting. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const waitMs = this.#waitMs();
      if (waitMs > 0) {
        await this.#bell.wait(waitMs);
        continue;
      }
      this.#urgent = false;
      const batch = this.#deps.outbox.take();
      if (batch === null) this.#park(signal);
      else await this.#deliver(batch, signal);
    }
  }

  #reportCame(): void {
    const { reports } = this.#deps.outbox;
    if (reports >= this.#enough) this.wake();
    else if (reports === 1) this.#bell.ring();
  }

  /** Time until there is a reason for an exchange. */
  #waitMs(): number {
    const { clock, outbox } = this.#deps;
    const now = clock.now();
    if (outbox.crowded) return 0;
    if (outbox.reports > 0) return this.#urgent ? 0 : this.#sentAt + COMPANY_MS - now;
    if (!outbox.empty) return this.#sentAt + RECORDS_MS - now;
    if (this.#parked === null) return this.#parkAt() - now;
    return this.#urgent && this.#freeGrew(this.#parked) ? this.#notBefore - now : Infinity;
  }

  /** With nothing free only cancels can come: the report of a short call is sooner, and shall not find us busy. */
  #parkAt(): number {
    return this.#free().size > 0 ? this.#notBefore : Math.max(this.#notBefore, this.#answeredAt + LINGER_MS);
  }

  #freeGrew(parked: ReadonlyMap<string, number>): boolean {
    for (const [id, calls] of this.#free()) if (calls > (parked.get(id) ?? 0)) return true;
    return false;
  }

  #free(): Map<string, number> {
    const { containers } = this.#deps;
    // Containers that have nothing to do, warm ones of other functions, leave their share to those that work.
    const working = [...containers.values()].filter(({ idle }) => !idle).length;
    const share = holdShare(working, this.#inputCharacters);
    this.#enough = Math.max(1, share >> 2);
    const free = new Map<string, number>();
    for (const [id, container] of containers) {
      const calls = Math.min(FREE_CALLS_MAX, container.free(share));
      if (calls > 0) free.set(id, calls);
    }
    return free;
  }

  /** Asks for calls and lets the answer come when it may. */
  async #park(signal: AbortSignal): Promise<void> {
    const free = this.#free();
    this.#parked = free;
    try {
      await this.#send(null, free, signal);
      this.#failures = 0;
    } catch (error) {
      this.#failed(error);
      this.#notBefore = this.#deps.clock.now() + backoffMs(this.#failures++);
    }
    if (this.#parked === free) this.#parked = null;
    this.#bell.ring();
  }

  /** Sends a batch until it has arrived. */
  async #deliver(batch: Batch, signal: AbortSignal): Promise<void> {
    for (let tries = 0; !signal.aborted; tries++) {
      try {
        await this.#send(batch, this.#free(), signal);
        return this.#arrived(batch);
      } catch (error) {
        if (error instanceof ApiRefused && UNSTORABLE.includes(error.status)) {
          return this.#unstorable(batch, error);
        }
        this.#failed(error);
        await this.#deps.clock.sleep(backoffMs(tries), signal);
      }
    }
    this.#deps.outbox.putBack([batch]);
  }

  #failed(error: unknown): void {
    if (error instanceof ApiRefused) this.#deps.refused(error);
    else if (!(error instanceof ApiAway)) this.#deps.log("exchange.error", { error: String(error) });
  }

  async #send(batch: Batch | null, free: ReadonlyMap<string, number>, signal: AbortSignal): Promise<void> {
    const { api, session, clock } = this.#deps;
    const seq = ++this.#seq;
    const missed = this.#missed;
    this.#sentAt = clock.now();
    try {
      const { reply, characters } = await api.exchange({
        node: api.node.id,
        session,
        seq,
        missed,
        free: [...free].map(([container, calls]) => ({ container, calls })),
        reports: [...batch?.reports ?? []].map(([lease, done]) => ({ lease, done })),
        logs: batch?.logs ?? [],
        events: batch?.events ?? [],
        containerLogs: batch?.containerLogs ?? [],
        waitMs: batch === null ? PARK_MS : 0,
      }, signal);
      this.#answeredAt = clock.now();
      this.#missed = this.#missed.filter((one) => !missed.includes(one));
      this.#take(reply, characters);
    } catch (error) {
      this.#missed = [...this.#missed, seq].slice(-MISSED_MAX);
      throw error;
    }
  }

  #arrived(batch: Batch): void {
    for (const [lease, done] of batch.reports) this.#deps.leases.reported(lease, done.length);
    this.#deps.outbox.release(batch);
  }

  /** Something in the batch cannot be stored: find it, and report in its place that it could not be. */
  #unstorable(batch: Batch, error: ApiRefused): void {
    const { outbox, log } = this.#deps;
    log("exchange.unstorable", {
      reports: batch.reportCount,
      logs: batch.logs.length,
      message: error.message,
    });
    const alone = batch.reportCount + (recordsOf(batch) > 0 ? 1 : 0) === 1;
    if (!alone) return outbox.putBack(apart(batch));
    const replaced = batch.reportCount === 1 && replaceValue(batch, error.message);
    if (replaced) outbox.putBack([batch]);
    else this.#arrived(batch);
  }

  #take({ claims, cancels }: ExchangeReply, characters: number): void {
    let inputs = 0;
    for (const claim of claims) {
      inputs += claim.inputs.length;
      this.#takeClaim(claim);
    }
    if (inputs > 0) this.#inputCharacters = (this.#inputCharacters + characters / inputs) / 2;
    for (const [lease, index] of cancels) {
      const call = this.#deps.leases.find(lease, index);
      if (call !== undefined) this.#deps.containers.get(call.lease.container)?.cancel(call);
    }
  }

  #takeClaim(claim: Claim): void {
    const { leases, containers, clock, outbox } = this.#deps;
    const now = clock.now();
    const lease = leases.open(claim, now);
    if (lease === null) return;
    const container = containers.get(claim.container);
    if (container !== undefined) return container.give(lease);
    for (const { index } of lease.calls) outbox.report(lease.id, [index, 3, null, now, now, 0], 0);
  }
}

/** Puts a failure in place of the one value of a batch; false when that was done before. */
function replaceValue(batch: Batch, why: string): boolean {
  const report = [...batch.reports.values()][0]![0]!;
  const failure = {
    kind: "user_error",
    message: `Cannot store the result: ${why}`,
    retryable: false,
  } as const;
  if (JSON.stringify(report[2]) === JSON.stringify(failure)) return false;
  report[1] = 1;
  report[2] = failure;
  return true;
}
