/**
 * To which call a line belongs that a guest printed without saying for which: the one that has run longest. When none runs, lines
 * are kept for the next, so that what loading printed is not lost. Where there are no calls, lines are the container's own.
 */
import type { LogStream, Work } from "./work.ts";

/** Lines that are kept, the latest. */
const ASIDES_MAX = 64;

type Own = (stream: LogStream, text: string) => void;

export class Voice {
  readonly #work: Pick<Work, "speaker" | "say">;
  #asides: { readonly stream: LogStream; readonly text: string }[] = [];

  readonly #own: Own | null;

  /** @param own takes the lines of a container without calls; null for one that has some */
  constructor(work: Pick<Work, "speaker" | "say">, own: Own | null) {
    this.#work = work;
    this.#own = own;
  }

  tell(stream: LogStream, text: string): void {
    if (this.#own !== null) return this.#own(stream, text);
    const call = this.#work.speaker;
    if (call !== undefined) this.#work.say(call, stream, text);
    else if (this.#asides.push({ stream, text }) > ASIDES_MAX) this.#asides.shift();
  }

  /** A call may have begun: it gets the lines that were kept. */
  tellAsides(): void {
    const call = this.#work.speaker;
    if (call === undefined || this.#asides.length === 0) return;
    for (const { stream, text } of this.#asides.splice(0)) this.#work.say(call, stream, text);
  }
}
