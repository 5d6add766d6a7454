/**
 * Group enqueue: create requests that arrive while one statement runs share the next one. A lone request is stored at once;
 * under load a statement and its commit are paid for once per group (14,000 to 22,000 creates a second against 4,200).
 */
import { enqueue, type Submission } from "../scheduler/store/calls.ts";
import { isAway, type Pool } from "../scheduler/store/connect.ts";
import type { Wakes } from "../scheduler/wakes.ts";
import type { Clock } from "../sdk/ports.ts";

export interface EnqueueDeps {
  readonly sql: Pool;
  readonly clock: Clock;
  readonly wakes: Wakes;
  /** Whether containers wait for this many calls of a function already. */
  wouldTake(functionId: number, calls: number): boolean;
}

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
      const ids = await enqueue(this.#deps.sql, now, group.map((entry) => entry.submission));
      this.#wake(group);
      group.forEach((entry, i) => entry.stored.resolve(ids[i]!));
    } catch (error) {
      if (group.length === 1 || isAway(error)) return group.forEach((entry) => entry.stored.reject(error));
      // One of them cannot be stored (a NUL in a text, say): the others must not suffer for it.
      for (const entry of group) await this.#store([entry]);
    }
  }

  /** The scheduler is woken unless all that came is taken by containers that wait for it: most lone calls are. */
  #wake(group: readonly Entry[]): void {
    const { wakes, wouldTake } = this.#deps;
    const calls = new Map<number, number>();
    for (const { submission: { functionId, size } } of group) {
      calls.set(functionId, (calls.get(functionId) ?? 0) + size);
    }
    const timed = group.some(({ submission }) =>
      submission.dueAt !== undefined || submission.expiresAt !== undefined
    );
    const taken = !timed && [...calls].every(([functionId, size]) => wouldTake(functionId, size));
    for (const functionId of calls.keys()) wakes.wake("ready", functionId);
    if (!taken) wakes.wake("tick");
  }
}
