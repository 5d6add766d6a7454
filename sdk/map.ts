/** One function over many inputs: submitted in portions ahead of the reader, delivered in order or as they end. */
import {
  briefly,
  type CallOptions,
  cancelBatch,
  create,
  newKey,
  resultLines,
  type Target,
  valueOf,
} from "./calls.ts";
import { type CallFailedError, PlatformError } from "./errors.ts";
import { type Batch, type End, Ends } from "./ends.ts";
import { InputReader } from "./inputs.ts";
import type { CallState, ResultLine } from "./protocol/calls.ts";
import { formatCallId, parseBatchId } from "./protocol/ids.ts";
import { isReference } from "./protocol/reference.ts";
import { backoffMs, type Wire } from "./transport.ts";
import { incoming } from "./values.ts";

/** Choices of `map`. */
export interface MapOptions {
  /**
   * Results in the order of the inputs, or as the calls end.
   * @default "input"
   */
  readonly order?: "input" | "completion";
  /**
   * How many inputs may be submitted and not yet read: the source is never read further ahead.
   * @default 10_000
   */
  readonly window?: number;
  /**
   * `"throw"`: the first failure ends the iteration and cancels the rest. `"yield"`: each item says how its call ended, and
   * of which input.
   * @default "throw"
   */
  readonly onError?: "throw" | "yield";
  /** Ends the iteration and cancels what has not ended. */
  readonly signal?: AbortSignal;
  /** Of these calls, and others with this key, only `concurrencyPerKey` of the function run at a time. */
  readonly concurrencyKey?: string;
}

/** How the call of one input ended. */
export type Settled<T> =
  | { readonly index: number; readonly status: "fulfilled"; readonly value: T }
  | { readonly index: number; readonly status: "rejected"; readonly reason: CallFailedError };

/** Inputs of one request. Larger ones save little more and make the first result wait. */
const PORTION = 1_000;
/** Create requests in flight. */
const CREATES = 3;

const DONE = { done: true, value: undefined } as const;

/** The iterator behind `map`. Nothing is read or sent before the first `next`. */
export class MapIterator<T> implements AsyncIterableIterator<T> {
  readonly #wire: Wire;
  readonly #target: Target;
  readonly #callOptions: CallOptions;
  readonly #inputs: InputReader;
  readonly #ends: Ends;
  readonly #window: number;
  readonly #settles: boolean;
  readonly #caller: AbortSignal | undefined;
  readonly #stop = new AbortController();
  readonly #key: string;

  /** Batches that may have calls which have not ended, and the promise of their creation. */
  readonly #live = new Map<Batch, Promise<unknown>>();
  readonly #readers: ((step: Promise<IteratorResult<T>>) => void)[] = [];

  #started = false;
  #submittedAll = false;
  /** Submitted and not yet delivered. */
  #open = 0;
  #creating = 0;
  /** Inputs that the next creation tries: fewer while the queue has no room for a full one. */
  #portion = PORTION;
  #failure: { readonly error: unknown } | undefined;
  #closing: Promise<void> | undefined;
  #wakeSubmitter: (() => void) | undefined;

  constructor(
    wire: Wire,
    target: Target,
    inputs: Iterable<unknown> | AsyncIterable<unknown>,
    options: MapOptions & { readonly calls: CallOptions },
  ) {
    const { order = "input", window = 10_000, onError = "throw", signal, calls } = options;
    if (!(window >= 1)) throw new RangeError(`Cannot map: window must be at least 1, not ${window}`);
    this.#wire = wire;
    this.#target = target;
    this.#callOptions = calls;
    this.#inputs = new InputReader(inputs, wire);
    this.#ends = new Ends(order);
    this.#window = window;
    this.#settles = onError === "yield";
    this.#caller = signal;
    this.#key = newKey(wire.random);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T>> {
    if (!this.#started) this.#start();
    return this.#step() ?? new Promise((resolve) => this.#readers.push(resolve));
  }

  async return(): Promise<IteratorResult<T>> {
    await this.#close();
    this.#serve();
    return DONE;
  }

  #start(): void {
    this.#started = true;
    if (this.#caller?.aborted) return this.#onAbort();
    this.#caller?.addEventListener("abort", this.#onAbort);
    this.#submitAll().catch((error) => this.#fail(error));
  }

  readonly #onAbort = (): void => {
    this.#fail(this.#caller!.reason);
    this.#close();
  };

  // ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** What the next reader gets, or undefined while that is open. */
  #step(): Promise<IteratorResult<T>> | undefined {
    const end = this.#closing === undefined ? this.#ends.take() : undefined;
    if (end !== undefined) return this.#deliver(end);
    if (this.#failure !== undefined) {
      const { error } = this.#failure;
      this.#failure = undefined;
      return this.#close().then(() => Promise.reject(error));
    }
    const ended = this.#closing !== undefined || (this.#submittedAll && this.#open === 0);
    return ended ? this.#close().then(() => DONE) : undefined;
  }

  #deliver({ batch, line }: End): Promise<IteratorResult<T>> {
    this.#open--;
    if (this.#hasRoom()) this.#wakeSubmitter?.();
    const [index, state, result, failure] = line;
    if (isReference(result)) return this.#deliverLarge({ batch, line }, result);
    if (state === "succeeded" && !this.#settles) return Promise.resolve({ done: false, value: result as T });
    const id = formatCallId({ batch: parseBatchId(batch.id), index });
    const settled = settle(id, batch.base + index, state, result, failure);
    if (this.#settles) return Promise.resolve({ done: false, value: settled as T });
    return this.#close().then(() => Promise.reject((settled as { reason: unknown }).reason));
  }

  async #deliverLarge({ batch, line: [index] }: End, reference: unknown): Promise<IteratorResult<T>> {
    try {
      const value = await incoming(this.#wire, reference, this.#stop.signal);
      const settled = { index: batch.base + index, status: "fulfilled", value };
      return { done: false, value: (this.#settles ? settled : value) as T };
    } catch (error) {
      await this.#close();
      throw error;
    }
  }

  /** Gives those who wait what there is. */
  #serve(): void {
    while (this.#readers.length > 0) {
      const step = this.#step();
      if (step === undefined) return;
      this.#readers.shift()!(step);
    }
  }

  // ── submitting ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #submitAll(): Promise<void> {
    while (this.#closing === undefined) {
      await this.#room();
      const texts = await this.#inputs.take(Math.min(PORTION, this.#window - this.#open));
      if (texts.length === 0) break;
      if (this.#closing !== undefined) break;
      this.#open += texts.length;
      this.#submit(texts, this.#ends.add(texts.length));
    }
    this.#submittedAll = true;
    this.#serve();
  }

  /** Room for a worthwhile portion: a small window is refilled by quarters, not one by one. */
  #hasRoom(): boolean {
    return this.#creating < CREATES &&
      this.#window - this.#open >= Math.min(PORTION, Math.ceil(this.#window / 4));
  }

  async #room(): Promise<void> {
    while (!this.#hasRoom() && this.#closing === undefined) {
      await new Promise<void>((resolve) => this.#wakeSubmitter = resolve);
    }
    this.#wakeSubmitter = undefined;
  }

  #submit(texts: string[], batch: Batch): void {
    const creation = this.#create(batch, texts);
    this.#live.set(batch, creation);
    creation.then(() => this.#collect(batch)).catch((error) => this.#fail(error));
  }

  /** Creates calls for as many inputs as there is room for, and submits the others after them. */
  async #create(batch: Batch, texts: string[]): Promise<void> {
    this.#creating++;
    let size = Math.min(texts.length, this.#portion);
    const refusedAt = this.#wire.clock.now();
    for (;; size = Math.ceil(size / 2)) {
      const refusal = await this.#tryCreate(batch, texts.slice(0, size));
      if (refusal === null) break;
      if (size === 1) await this.#waitForRoom(refusal, refusedAt);
    }
    this.#portion = Math.min(PORTION, size * 2);
    this.#creating--;
    if (size < texts.length) this.#submit(texts.slice(size), this.#ends.split(batch, size));
    this.#wakeSubmitter?.();
  }

  async #tryCreate(batch: Batch, texts: string[]): Promise<PlatformError | null> {
    const creation = {
      target: this.#target,
      inputs: `"inputs":[${texts.join(",")}]`,
      options: this.#callOptions,
      key: `${this.#key}-${batch.base}`,
      refusable: true,
    };
    try {
      batch.id = (await create(this.#wire, creation)).batch;
      return null;
    } catch (error) {
      if (error instanceof PlatformError && error.code === "quota_exceeded") return error;
      throw error;
    }
  }

  /** There will be room when calls have run; when none of ours do, somebody else's may never. */
  async #waitForRoom(refusal: PlatformError, since: number): Promise<void> {
    const { clock, patienceMs, random } = this.#wire;
    if (this.#live.size <= this.#creating && clock.now() > since + patienceMs) throw refusal;
    await clock.sleep(Math.max(refusal.retryAfterMs ?? 0, backoffMs(0, random.next())), this.#stop.signal);
    this.#stop.signal.throwIfAborted();
  }

  async #collect(batch: Batch): Promise<void> {
    const firstMissing = () => batch.ends.indexOf(undefined);
    for await (const lines of resultLines(this.#wire, batch.id, firstMissing, this.#stop.signal)) {
      for (const line of lines) this.#ends.accept(batch, line);
      if (batch.left === 0) this.#live.delete(batch);
      this.#serve();
      if (batch.left === 0) return;
    }
  }

  // ── ending ────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #fail(error: unknown): void {
    if (this.#closing !== undefined) return;
    this.#failure ??= { error };
    this.#serve();
  }

  /** Reads and sends nothing more, and cancels what has not ended. */
  #close(): Promise<void> {
    return this.#closing ??= this.#cancel();
  }

  async #cancel(): Promise<void> {
    this.#stop.abort();
    this.#caller?.removeEventListener("abort", this.#onAbort);
    this.#inputs.close();
    this.#wakeSubmitter?.();
    if (this.#live.size === 0) return;
    await briefly(this.#wire.clock, (signal) => {
      const cancelled = async ([batch, creation]: [Batch, Promise<unknown>]) => {
        await creation;
        await cancelBatch(this.#wire, batch.id, signal);
      };
      return Promise.allSettled([...this.#live].map(cancelled));
    });
  }
}

function settle(
  id: string,
  index: number,
  state: CallState,
  result: ResultLine[2],
  failure: ResultLine[3],
): Settled<unknown> {
  try {
    return { index, status: "fulfilled", value: valueOf(id, state, result, failure) };
  } catch (reason) {
    return { index, status: "rejected", reason: reason as CallFailedError };
  }
}
