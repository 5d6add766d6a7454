/**
 * Containers that were made before anybody wants them: started, with a guest that has connected and waits for code, or only created,
 * where there is no memory for that. Each is used once, and only where it is what the function would have got anyway: nothing about it
 * is changed afterwards.
 */
import type { Clock, Log } from "../../../sdk/ports.ts";
import type { Program } from "./program.ts";
import type { Recipe } from "./recipe.ts";
import { type Kept, wantedCreated, wantedWaiting } from "./waiting.ts";

export interface Ahead {
  /** Null while it is only created. */
  readonly program: Pick<Program, "runs" | "exited" | "usage"> | null;
  readonly image: string;
  release(): Promise<void>;
}

export interface PrestartedDeps<T extends Ahead> {
  /** MiB that those that wait may use together; none are started when 0. */
  readonly budgetMiB: number;
  /** What is likely to be wanted before anything was. */
  readonly plain: readonly Recipe[];
  readonly clock: Clock;
  readonly log: Log;
  keyOf(recipe: Recipe): string;
  imageOf(recipe: Recipe): string;
  /** Whether it may be started, and not only created. */
  mayWait(recipe: Recipe): boolean;
  make(recipe: Recipe, how: "started" | "created", signal: AbortSignal): Promise<T>;
}

interface Known extends Kept {
  readonly recipe: Recipe;
}

/** What is to be made. */
interface Lack {
  readonly known: Known;
  readonly how: "started" | "created";
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

export class Prestarted<T extends Ahead> {
  readonly #deps: PrestartedDeps<T>;
  /** The last used comes last. */
  readonly #known = new Map<string, Known>();
  readonly #made = new Map<string, T[]>();
  /** Recipes that could not be started, or whose containers ended while they waited. */
  readonly #failed = new Map<string, { readonly times: number; readonly until: number }>();
  readonly #closed = new AbortController();
  #filling: Promise<void> | null = null;

  constructor(deps: PrestartedDeps<T>) {
    this.#deps = deps;
    if (deps.budgetMiB > 0) { for (const recipe of deps.plain.toReversed()) this.remember(recipe); }
  }

  /** How many wait. */
  get size(): number {
    return this.#all().filter(({ program }) => program !== null).length;
  }

  /** One that was made for just this, if there is one. */
  take(recipe: Recipe): T | null {
    const key = this.#deps.keyOf(recipe);
    for (const one of [...this.#of(key, "started"), ...this.#of(key, "created")]) {
      this.#remove(one);
      if (one.program === null) return one;
      if (one.program.runs) {
        this.#failed.delete(key);
        return one;
      }
      one.release();
    }
    return null;
  }

  /** How many there are of an image. */
  of(image: string): number {
    return this.#all().filter((one) => one.image === image).length;
  }

  /** The image must go: so does all that was made of it, and no more of that is made until it is used again. */
  async letGo(image: string): Promise<void> {
    for (const [key, { recipe }] of this.#known) {
      if (this.#deps.imageOf(recipe) === image) this.#known.delete(key);
    }
    await Promise.all(this.#all().filter((one) => one.image === image).map((one) => this.#discard(one)));
  }

  /** It was used, and may be wanted again. */
  remember(recipe: Recipe): void {
    const key = this.#deps.keyOf(recipe);
    const memoryMiB = this.#known.get(key)?.memoryMiB ?? GUESS_MIB;
    this.#known.delete(key);
    this.#known.set(key, { key, recipe, memoryMiB });
    if (this.#known.size > KNOWN_MAX) this.#known.delete(this.#known.keys().next().value!);
  }

  /** Makes what should be there and is not, one at a time, a little later. */
  fill(): void {
    if (this.#closed.signal.aborted) return;
    this.#filling ??= this.#fill().finally(() => this.#filling = null);
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#filling;
    await Promise.all(this.#all().map((one) => this.#discard(one)));
  }

  async #fill(): Promise<void> {
    const { signal } = this.#closed;
    await this.#deps.clock.sleep(PAUSE_MS, signal);
    for (let next = this.#next(); next !== null && !signal.aborted; next = this.#next()) {
      await this.#make(next, signal);
    }
    this.#endSurplus();
  }

  /** How many of each recipe, the one used last first. */
  #wanted(): { recent: Known[]; counts: Record<Lack["how"], (key: string) => number> } {
    const recent = [...this.#known.values()].reverse();
    const waiting = wantedWaiting(
      recent.filter(({ recipe }) => this.#deps.mayWait(recipe)),
      this.#deps.budgetMiB,
    );
    const created = wantedCreated(recent, waiting);
    const counts = {
      started: (key: string) => waiting.get(key) ?? 0,
      created: (key: string) => created.has(key) ? 1 : 0,
    };
    return { recent, counts };
  }

  #next(): Lack | null {
    const { recent, counts } = this.#wanted();
    const now = this.#deps.clock.now();
    for (const how of ["created", "started"] as const) {
      const lacks = ({ key }: Known) => this.#of(key, how).length < counts[how](key);
      const known = recent.find((one) => lacks(one) && now >= (this.#failed.get(one.key)?.until ?? 0));
      if (known !== undefined) return { known, how };
    }
    return null;
  }

  /** After what takes its place has started and was measured: a guess is not worth ending one for. */
  #endSurplus(): void {
    const { counts } = this.#wanted();
    for (const key of this.#made.keys()) {
      for (const how of ["created", "started"] as const) {
        for (const one of this.#of(key, how).slice(counts[how](key))) this.#discard(one);
      }
    }
  }

  async #make({ known: { key, recipe }, how }: Lack, signal: AbortSignal): Promise<void> {
    try {
      const one = await this.#deps.make(recipe, how, signal);
      this.#made.set(key, [...this.#made.get(key) ?? [], one]);
      this.#measure(key, one);
      one.program?.exited.then(() => this.#ended(key, one));
    } catch (error) {
      if (signal.aborted) return;
      this.#deps.log("prestart.failed", { error: String(error) });
      this.#fail(key);
    }
  }

  #measure(key: string, { program }: T): void {
    const known = this.#known.get(key), used = program?.usage() ?? null;
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

  #all(): T[] {
    return [...this.#made.values()].flat();
  }

  #of(key: string, how: Lack["how"]): T[] {
    return (this.#made.get(key) ?? []).filter(({ program }) => (program === null) === (how === "created"));
  }

  /** False when it is not here any more. */
  #remove(one: T): boolean {
    for (const [key, all] of this.#made) {
      if (!all.includes(one)) continue;
      this.#made.set(key, all.filter((other) => other !== one));
      return true;
    }
    return false;
  }
}
