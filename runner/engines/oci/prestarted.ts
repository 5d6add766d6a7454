/**
 * Containers that were started before anybody wants them, with a guest that has connected and waits for code. Each is used once, and
 * only where it is what the function would have got anyway: nothing about it is changed afterwards.
 */
import type { Clock, Log } from "../../../sdk/ports.ts";
import type { Program } from "./program.ts";
import type { Recipe } from "./recipe.ts";
import { type Kept, wantedWaiting } from "./waiting.ts";

export interface Waiting {
  readonly program: Pick<Program, "runs" | "exited" | "usage">;
  release(): Promise<void>;
}

export interface PrestartedDeps<T extends Waiting> {
  /** MiB that all of them may use together; none are started when 0. */
  readonly budgetMiB: number;
  /** What is likely to be wanted before anything was. */
  readonly plain: readonly Recipe[];
  readonly clock: Clock;
  readonly log: Log;
  keyOf(recipe: Recipe): string;
  launch(recipe: Recipe, signal: AbortSignal): Promise<T>;
}

interface Known extends Kept {
  readonly recipe: Recipe;
}

/** Recipes that are remembered. */
const KNOWN_MAX = 64;
/** Until one was measured. */
const GUESS_MIB = 48;
/** What an engine itself needs for each container. */
const ENGINE_MIB = 10;
/** What has just become ready has a request to answer, and starting containers takes the whole machine. */
const PAUSE_MS = 300;
/** One that failed is tried again after this long, then after twice as long, and so on. */
const RETRY_MS = 1_000;
const RETRY_DOUBLED_MAX = 6;

export class Prestarted<T extends Waiting> {
  readonly #deps: PrestartedDeps<T>;
  /** The last used comes last. */
  readonly #known = new Map<string, Known>();
  readonly #waiting = new Map<string, T[]>();
  /** Recipes that could not be started, or whose containers ended while they waited. */
  readonly #failed = new Map<string, { readonly times: number; readonly until: number }>();
  readonly #closed = new AbortController();
  #filling: Promise<void> | null = null;

  constructor(deps: PrestartedDeps<T>) {
    this.#deps = deps;
    for (const recipe of deps.plain.toReversed()) this.remember(recipe);
  }

  /** How many wait. */
  get size(): number {
    return [...this.#waiting.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** One that waits for just this, if there is one. */
  take(recipe: Recipe): T | null {
    const key = this.#deps.keyOf(recipe);
    for (const one of this.#waiting.get(key) ?? []) {
      this.#remove(one);
      if (one.program.runs) {
        this.#failed.delete(key);
        return one;
      }
      one.release();
    }
    return null;
  }

  /** It was used, and may be wanted again. */
  remember(recipe: Recipe): void {
    const key = this.#deps.keyOf(recipe);
    const memoryMiB = this.#known.get(key)?.memoryMiB ?? GUESS_MIB;
    this.#known.delete(key);
    this.#known.set(key, { key, recipe, memoryMiB });
    if (this.#known.size > KNOWN_MAX) this.#known.delete(this.#known.keys().next().value!);
  }

  /** Starts what should wait and does not, one at a time, a little later. */
  fill(): void {
    if (this.#closed.signal.aborted) return;
    this.#filling ??= this.#fill().finally(() => this.#filling = null);
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#filling;
    await Promise.all([...this.#waiting.values()].flat().map((one) => this.#discard(one)));
  }

  async #fill(): Promise<void> {
    const { signal } = this.#closed;
    await this.#deps.clock.sleep(PAUSE_MS, signal);
    for (let next = this.#next(); next !== null && !signal.aborted; next = this.#next()) {
      await this.#start(next, signal);
    }
    this.#endSurplus();
  }

  #wanted(): { recent: Known[]; counts: Map<string, number> } {
    const recent = [...this.#known.values()].reverse();
    return { recent, counts: wantedWaiting(recent, this.#deps.budgetMiB) };
  }

  #next(): Known | null {
    const { recent, counts } = this.#wanted();
    const lacks = ({ key }: Known) => (this.#waiting.get(key)?.length ?? 0) < (counts.get(key) ?? 0);
    const now = this.#deps.clock.now();
    return recent.find((known) => lacks(known) && now >= (this.#failed.get(known.key)?.until ?? 0)) ?? null;
  }

  /** After what takes its place has started and was measured: a guess is not worth ending one for. */
  #endSurplus(): void {
    const { counts } = this.#wanted();
    for (const [key, all] of this.#waiting) {
      for (const one of all.slice(counts.get(key) ?? 0)) this.#discard(one);
    }
  }

  async #start({ key, recipe }: Known, signal: AbortSignal): Promise<void> {
    try {
      const one = await this.#deps.launch(recipe, signal);
      this.#waiting.set(key, [...this.#waiting.get(key) ?? [], one]);
      this.#measure(key, one);
      one.program.exited.then(() => this.#ended(key, one));
    } catch (error) {
      if (signal.aborted) return;
      this.#deps.log("prestart.failed", { error: String(error) });
      this.#fail(key);
    }
  }

  #measure(key: string, { program }: T): void {
    const known = this.#known.get(key), used = program.usage();
    if (known !== undefined && used !== null) {
      this.#known.set(key, { ...known, memoryMiB: used.memoryMiB + ENGINE_MIB });
    }
  }

  #ended(key: string, one: T): void {
    if (!this.#remove(one)) return;
    one.release();
    this.#fail(key);
  }

  async #fail(key: string): Promise<void> {
    const { clock } = this.#deps;
    const times = this.#failed.get(key)?.times ?? 0;
    const pauseMs = RETRY_MS * 2 ** Math.min(times, RETRY_DOUBLED_MAX);
    this.#failed.set(key, { times: times + 1, until: clock.now() + pauseMs });
    await clock.sleep(pauseMs, this.#closed.signal);
    this.fill();
  }

  async #discard(one: T): Promise<void> {
    this.#remove(one);
    await one.release();
  }

  /** False when it does not wait any more. */
  #remove(one: T): boolean {
    for (const [key, all] of this.#waiting) {
      if (!all.includes(one)) continue;
      this.#waiting.set(key, all.filter((other) => other !== one));
      return true;
    }
    return false;
  }
}
