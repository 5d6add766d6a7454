/** Keeps the route table fresh: loaded when something says that it changed, and now and then in case nothing did. */
import type { Wakes } from "../../scheduler/wakes.ts";
import type { Clock, Log } from "../../sdk/ports.ts";
import { type RouteTable, routeTable } from "./routes.ts";

export interface FeedOptions {
  readonly load: () => Promise<RouteTable>;
  readonly wakes: Pick<Wakes, "on">;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of every new table. */
  readonly changed: (table: RouteTable) => void;
}

const POLL_MS = 1_000;
/** However many requests miss, one load for their sake begins in this time. */
const MISS_SPACING_MS = 50;

export class RouteFeed {
  readonly #options: FeedOptions;
  readonly #closed = new AbortController();
  #table = routeTable([]);
  #loading: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  #missed: Promise<void> | null = null;
  #missedAt = -Infinity;
  #failing = false;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  get table(): RouteTable {
    return this.#table;
  }

  /** Resolves when the first table is there, or could not be loaded; from then on it stays fresh until `close`. */
  async start(): Promise<void> {
    const stop = this.#options.wakes.on("routes", "*", () => this.#quietly());
    this.#closed.signal.addEventListener("abort", stop);
    await this.#quietly();
    this.#poll();
  }

  close(): void {
    this.#closed.abort();
  }

  /** Resolves after a load that began after this call; so all that was committed before is in the table. */
  refresh(): Promise<void> {
    if (this.#loading === null) return this.#loading = this.#load().finally(() => this.#loading = null);
    return this.#next ??= this.#loading.catch(() => {}).then(() => {
      this.#next = null;
      return this.refresh();
    });
  }

  /** A `refresh` for somebody who asked for what is not in the table: those who come soon after one another share one. */
  missed(): Promise<void> {
    return this.#missed ??= this.#refreshSpaced();
  }

  async #refreshSpaced(): Promise<void> {
    const { clock } = this.#options;
    await clock.sleep(Math.max(0, this.#missedAt + MISS_SPACING_MS - clock.now()), this.#closed.signal);
    this.#missed = null;
    this.#missedAt = clock.now();
    await this.refresh();
  }

  async #poll(): Promise<void> {
    for (;;) {
      await this.#options.clock.sleep(POLL_MS, this.#closed.signal);
      if (this.#closed.signal.aborted) return;
      await this.#quietly();
    }
  }

  /** While the store is away, the last table is good enough; said once. */
  async #quietly(): Promise<void> {
    try {
      await this.refresh();
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#options.log("gateway.routes_failed", { message: String(error) });
      this.#failing = true;
    }
  }

  async #load(): Promise<void> {
    const table = await this.#options.load();
    if (this.#closed.signal.aborted) return;
    this.#table = table;
    this.#options.changed(table);
  }
}
