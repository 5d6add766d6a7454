/** What a function is asked for, and how it may answer: the nouns that scaling looks at. Pure: types. */

/** How many containers a function may have, and for how long idle ones stay. */
export interface Scale {
  readonly min: number;
  readonly max: number;
  /** Containers beyond what the load needs, while there is load. */
  readonly buffer: number;
  /** Null: as predicted (keepalive.ts). */
  readonly scaledownWindowMs: number | null;
  /** A queue of short calls should be empty in about this time. */
  readonly targetWaitMs: number;
  /** Calls or requests of one container at a time; and how many of them before another container is wanted. */
  readonly concurrency: number;
  readonly targetConcurrency: number;
}

export interface Demand {
  /** Calls that could start now. */
  readonly queued: number;
  /** Since when the oldest of them waits. */
  readonly queuedSince: number | null;
  /** The highest among them. */
  readonly priority: number;
  /** By priority, highest first; here those that wait for their key are counted too. */
  readonly levels: readonly QueueLevel[];
  /** Calls that wait beside those, since the ones with their concurrency key take all its places. */
  readonly keyed: number;
  /** Calls given to containers and not reported. */
  readonly leased: number;
  readonly leasedSince: number | null;
  /** Calls of leases older than `STUCK_MS`. */
  readonly stuck: number;
  /** Mean wall time of the calls that ended last; null when none has. */
  readonly callMs: number | null;
  /** Requests that containers are serving, and that gateways hold. */
  readonly requests: number;
  readonly requestsHeld: number;
  readonly heldSince: number | null;
  /** The last time there was a request. */
  readonly requestedAt: number | null;
}

/** Calls of one priority that wait. */
export interface QueueLevel {
  readonly priority: number;
  readonly queued: number;
  /** Since when the oldest of them waits. */
  readonly since: number;
}

/** Starts that came to nothing, since the last container of this deployment that became ready. */
export interface StartFailures {
  /** How often in a row; containers started by one tick count once. */
  readonly count: number;
  readonly lastAt: number;
  /** What the last of them said. */
  readonly message: string;
}
