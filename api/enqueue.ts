/**
 * Group enqueue: create requests that arrive while one statement runs share the next one. A lone request is stored at once;
 * under load a statement and its commit are paid for once per group (14,000 to 22,000 creates a second against 4,200).
 */
import type { Submission } from "../scheduler/store/calls.ts";
import { isAway, type Pool } from "../scheduler/store/connect.ts";
import { enqueueWithinLimits, NO_VALUE, type Outcome } from "../scheduler/store/quotas.ts";
import type { Wakes } from "../scheduler/wakes.ts";
import { PlatformError } from "../sdk/errors.ts";
import type { Clock } from "../sdk/ports.ts";
import { notUploaded } from "./values.ts";

export interface EnqueueDeps {
  readonly sql: Pool;
  readonly clock: Clock;
  readonly wakes: Wakes;
}

/** Who finds the queue of a workspace full may try again after this. */
const FULL_RETRY_MS = 1_000;
/** Inputs of one statement, unless a single submission has more. */
const GROUP_INPUTS = 5_000;

interface Entry {
  readonly submission: Submission;
  readonly stored: PromiseWithResolvers<number | null>;
}

export class EnqueueGroup {
  readonly #deps: EnqueueDeps;
  #waiting: Entry[] = [];
  #running = false;

  constructor(deps: EnqueueDeps) {
    this.#deps = deps;
  }

  /** Stores a submission durably; the id of its batch, or null when its idempotency key or tick was there before. */
  submit(submission: Submission): Promise<number | null> {
    const entry = { submission, stored: Promise.withResolvers<number | null>() };
    this.#waiting.push(entry);
    if (!this.#running) this.#run();
    return entry.stored.promise;
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) await this.#store(this.#takeGroup());
    this.#running = false;
  }

  #takeGroup(): Entry[] {
    let inputs = 0;
    const beyond = this.#waiting.findIndex(({ submission }, i) =>
      (inputs += submission.size) > GROUP_INPUTS && i > 0
    );
    return this.#waiting.splice(0, beyond === -1 ? this.#waiting.length : beyond);
  }

  async #store(group: readonly Entry[]): Promise<void> {
    try {
      const now = new Date(this.#deps.clock.now());
      const outcomes = await enqueueWithinLimits(this.#deps.sql, now, group.map((entry) => entry.submission));
      this.#wake(group.filter((_, i) => typeof outcomes[i] === "number"));
      group.forEach((entry, i) => answer(entry, outcomes[i]!));
    } catch (error) {
      if (group.length === 1 || isAway(error)) return group.forEach((entry) => entry.stored.reject(error));
      // One of them cannot be stored (a NUL in a text, say): the others must not suffer for it.
      for (const entry of group) await this.#store([entry]);
    }
  }

  /** Containers with free slots, and the scheduler, lest there are too few of them. */
  #wake(group: readonly Entry[]): void {
    const { wakes } = this.#deps;
    for (const id of new Set(group.map(({ submission }) => submission.functionId))) wakes.wake("ready", id);
    wakes.wake("tick");
  }
}

function answer({ submission, stored }: Entry, outcome: Outcome): void {
  if (typeof outcome === "number" || outcome === null) return stored.resolve(outcome);
  if (outcome === NO_VALUE) return stored.reject(notUploaded("input"));
  const { size, workspaceId } = submission;
  const message =
    `Cannot queue ${size} more ${size === 1 ? "call" : "calls"}: of workspace "${workspaceId}" at most ` +
    `${outcome.limit} may wait and ${outcome.queued} do, try again when some have run`;
  stored.reject(new PlatformError("quota_exceeded", message, { retryAfterMs: FULL_RETRY_MS }));
}
