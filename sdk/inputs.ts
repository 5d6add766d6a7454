/** The inputs of a map: pulled from their source as they are wanted, as JSON texts, in portions that fit one request. */
import { LIMITS } from "./protocol/limits.ts";
import type { Wire } from "./transport.ts";
import { outgoing } from "./values.ts";

/** A quarter of what a request may hold: several are in flight, and characters may take three bytes. */
const PORTION_CHARS = LIMITS.bodyBytes / 8;
/** How long a portion waits for the next input of a slow source before it goes without. */
const LINGER_MS = 5;

/** One input as JSON text. `undefined` travels as null. */
export function inputText(input: unknown, label = "the input"): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(input);
  } catch (cause) {
    throw new TypeError(`Cannot send ${label}: ${(cause as Error).message}`, { cause });
  }
  if (text !== undefined) return text;
  if (input === undefined) return "null";
  throw new TypeError(`Cannot send ${label}: a ${typeof input} is not JSON`);
}

/** Reads a source in portions, never further than asked for. */
export class InputReader {
  readonly #iterator: Iterator<unknown> | AsyncIterator<unknown>;
  readonly #slow: boolean;
  readonly #wire: Wire;
  #pending: Promise<IteratorResult<unknown>> | undefined;
  #taken = 0;
  #done = false;

  constructor(source: Iterable<unknown> | AsyncIterable<unknown>, wire: Wire) {
    this.#slow = Symbol.asyncIterator in source;
    this.#iterator = Symbol.asyncIterator in source
      ? source[Symbol.asyncIterator]()
      : source[Symbol.iterator]();
    this.#wire = wire;
  }

  /** The next inputs, at most `max`; fewer when they are large or slow to come, none at the end. */
  async take(max: number): Promise<string[]> {
    const texts: string[] = [];
    const lingering = new AbortController();
    let linger: Promise<void> | undefined;
    for (let chars = 0; !this.#done && texts.length < max && chars < PORTION_CHARS;) {
      if (this.#slow && texts.length > 0) linger ??= this.#wire.clock.sleep(LINGER_MS, lingering.signal);
      const step = this.#slow ? await this.#next(linger) : this.#iterator.next() as IteratorResult<unknown>;
      if (step === undefined) break;
      if (step.done) this.#done = true;
      else {
        const label = `input ${this.#taken++}`;
        const text = outgoing(this.#wire, inputText(step.value, label), label);
        chars += texts[texts.push(typeof text === "string" ? text : await text) - 1]!.length;
      }
    }
    lingering.abort();
    return texts;
  }

  /** Tells the source that no more is wanted. */
  close(): void {
    if (!this.#done) Promise.resolve(this.#iterator.return?.()).catch(() => {});
    this.#done = true;
  }

  /** The next step of an async source, or undefined when it takes too long; it is then kept for later. */
  async #next(linger: Promise<void> | undefined): Promise<IteratorResult<unknown> | undefined> {
    this.#pending ??= Promise.resolve(this.#iterator.next());
    const step = await (linger === undefined ? this.#pending : Promise.race([this.#pending, linger]));
    if (step === undefined) return undefined;
    this.#pending = undefined;
    return step;
  }
}
