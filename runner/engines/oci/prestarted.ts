/**
 * Containers that were started before anybody wants them, with a guest that has connected and waits for code. Each is used once, and
 * only where it is what the function would have got anyway: nothing about it is changed afterwards.
 */
import type { Clock, Log } from "../../../sdk/ports.ts";
import type { Launched } from "./launch.ts";
import type { Recipe } from "./recipe.ts";
import { type Kept, wantedWaiting } from "./waiting.ts";

export interface PrestartedDeps {
  /** MiB that all of them may use together; none are started when 0. */
  readonly budgetMiB: number;
  /** What is likely to be wanted before anything was. */
  readonly plain: readonly Recipe[];
  readonly clock: Clock;
  readonly log: Log;
  keyOf(recipe: Recipe): string;
  launch(recipe: Recipe, signal: AbortSignal): Promise<Launched>;
}

interface Known extends Kept {
  readonly recipe: Recipe;
}

/** Recipes that are remembered. */
const KNOWN_MAX = 64;
/** Until one was measured. */
const GUESS_MIB = 64;
/** What an engine itself needs for each container. */
const ENGINE_MIB = 10;
/** What has just become ready has a request to answer, and starting containers takes the whole machine. */
const PAUSE_MS = 300;

export class Prestarted {
  readonly #deps: PrestartedDeps;
  /** The last used comes last. */
  readonly #known = new Map<string, Known>();
  readonly #waiting = new Map<string, Launched[]>();
  /** Recipes that failed, or whose containers ended while they waited: left alone until something else has started. */
  readonly #failed = new Set<string>();
  readonly #closed = new AbortController();
  #filling: Promise<void> | null = null;

  constructor(deps: PrestartedDeps) {
    this.#deps = deps;
    for (const recipe of deps.plain.toReversed()) this.remember(recipe);
  }

  /** How many wait. */
  get size(): number {
    return [...this.#waiting.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** One that waits for just this, if there is one. */
  take(recipe: Recipe): Launched | null {
    for (const one of this.#waiting.get(this.#deps.keyOf(recipe)) ?? []) {
      this.#remove(one);
      if (one.program.runs) return one;
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
    this.#failed.clear();
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
  }

  /** What to start next; what is too much now is ended. */
  #next(): Known | null {
    const recent = [...this.#known.values()].reverse();
    const wanted = wantedWaiting(recent, this.#deps.budgetMiB);
    for (const [key, all] of this.#waiting) {
      for (const one of all.slice(wanted.get(key) ?? 0)) this.#discard(one);
    }
    const lacks = ({ key }: Known) => (this.#waiting.get(key)?.length ?? 0) < (wanted.get(key) ?? 0);
    return recent.find((known) => lacks(known) && !this.#failed.has(known.key)) ?? null;
  }

  async #start({ key, recipe }: Known, signal: AbortSignal): Promise<void> {
    try {
      const one = await this.#deps.launch(recipe, signal);
      this.#waiting.set(key, [...this.#waiting.get(key) ?? [], one]);
      this.#measure(key, one);
      one.program.exited.then(() => this.#ended(key, one));
    } catch (error) {
      this.#failed.add(key);
      if (!signal.aborted) this.#deps.log("prestart.failed", { error: String(error) });
    }
  }

  #measure(key: string, { program }: Launched): void {
    const known = this.#known.get(key), used = program.usage();
    if (known !== undefined && used !== null) {
      this.#known.set(key, { ...known, memoryMiB: used.memoryMiB + ENGINE_MIB });
    }
  }

  #ended(key: string, one: Launched): void {
    if (!this.#remove(one)) return;
    this.#failed.add(key);
    one.release();
  }

  async #discard(one: Launched): Promise<void> {
    this.#remove(one);
    await one.release();
  }

  /** False when it does not wait any more. */
  #remove(one: Launched): boolean {
    for (const [key, all] of this.#waiting) {
      if (!all.includes(one)) continue;
      this.#waiting.set(key, all.filter((other) => other !== one));
      return true;
    }
    return false;
  }
}
