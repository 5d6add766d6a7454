/**
 * Keeping house: bytes that nothing refers to are removed from the store of blobs, and what has ended long ago from the database. Every
 * api process does it, a little at a time; they don't meet, since each takes rows that no other has.
 */
import { type DueBlob, forgetBlobs, takeDueBlobs } from "../scheduler/store/blobs.ts";
import { isAway, type Pool } from "../scheduler/store/connect.ts";
import {
  clearContainerLogs,
  clearContainers,
  clearRetired,
  retireBatches,
  retireDeployments,
} from "../scheduler/store/retention.ts";
import type { Clock, Log } from "../sdk/ports.ts";
import type { Blobs } from "./blobs/blobs.ts";

export interface SweeperDeps {
  readonly sql: Pool;
  readonly clock: Clock;
  readonly log: Log;
  readonly blobs: Blobs;
  /** How long what has ended is kept; 0: for ever. */
  readonly retentionMs: number;
}

/** Between two rounds, when there was nothing to do and when there may be more. */
const IDLE_MS = 60_000;
const BUSY_MS = 250;
/** Blobs, batches with calls, and rows of a table that one round takes. */
const BLOBS_MAX = 200;
const BATCHES_MAX = 500;
const CALLS_MAX = 50_000;
const ROWS_MAX = 5_000;
const DEPLOYMENTS_MAX = 200;
/** Blobs removed at a time. */
const AT_ONCE = 8;
/** Once all batches were looked at, they are looked at again after this long. */
const RETIRE_MS = 3_600_000;

export class Sweeper {
  readonly #deps: SweeperDeps;
  /** The last batch that was looked at; from the beginning again when all have been. */
  #after = 0;
  #retiresAt = 0;

  constructor(deps: SweeperDeps) {
    this.#deps = deps;
  }

  /** Sweeps until aborted; errors are logged and survived. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    while (!signal.aborted) {
      const more = await this.round().catch((error) => {
        log("sweep.failed", { away: isAway(error), message: (error as Error).message });
        return false;
      });
      await clock.sleep(more ? BUSY_MS : IDLE_MS, signal);
    }
  }

  /** A little of everything; answers whether there may be more. */
  async round(): Promise<boolean> {
    const more = [await this.#sweepBlobs(), await this.#retire(), await this.#clear()];
    return more.includes(true);
  }

  async #sweepBlobs(): Promise<boolean> {
    const { sql, clock, log } = this.#deps;
    const due = await takeDueBlobs(sql, new Date(clock.now()), BLOBS_MAX);
    let swept = 0;
    for (let at = 0; at < due.length; at += AT_ONCE) {
      const gone = await Promise.all(due.slice(at, at + AT_ONCE).map((one) => this.#remove(one)));
      const keys = gone.filter((key) => key !== null);
      await forgetBlobs(sql, keys);
      swept += keys.length;
    }
    if (swept > 0) log("blobs.swept", { blobs: swept });
    return due.length === BLOBS_MAX;
  }

  /** The key of a blob that has gone; null when it could not be removed, and comes up again later. */
  async #remove({ key, upload }: DueBlob): Promise<string | null> {
    const { blobs, log } = this.#deps;
    try {
      if (upload !== null) await blobs.abandonParts(key, upload);
      await blobs.delete(key);
      return key;
    } catch (error) {
      log("blob.not_swept", { key, message: (error as Error).message });
      return null;
    }
  }

  async #retire(): Promise<boolean> {
    const { sql, clock, log, retentionMs } = this.#deps;
    const now = clock.now();
    if (retentionMs === 0 || now < this.#retiresAt) return false;
    const before = new Date(now - retentionMs);
    const limits = { limit: BATCHES_MAX, calls: CALLS_MAX };
    const { after, batches } = await retireBatches(sql, { before, after: this.#after, ...limits });
    const lines = await clearContainerLogs(sql, { before, limit: ROWS_MAX });
    const containers = await clearContainers(sql, { before, limit: ROWS_MAX });
    const moreDeployments = await sql.begin((tx) =>
      retireDeployments(tx, new Date(now), { before, limit: DEPLOYMENTS_MAX })
    );
    if (batches + lines + containers > 0) log("calls.retired", { batches, lines, containers });
    this.#after = after ?? 0;
    const more = after !== null || lines === ROWS_MAX || containers === ROWS_MAX || moreDeployments;
    if (!more) this.#retiresAt = now + RETIRE_MS;
    return more;
  }

  #clear(): Promise<boolean> {
    const { sql, clock } = this.#deps;
    return sql.begin((tx) => clearRetired(tx, new Date(clock.now()), ROWS_MAX)) as Promise<boolean>;
  }
}
