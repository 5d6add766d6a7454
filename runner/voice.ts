/**
 * To which call a line belongs that a guest printed without saying for which: the one that has run longest. When none runs, lines
 * are kept for the next, so that what loading printed is not lost.
 */
import type { LogStream, Work } from "./work.ts";

/** Lines that are kept, the latest. */
const ASIDES_MAX = 64;

export class Voice {
  readonly #work: Pick<Work, "speaker" | "say">;
  #asides: { readonly stream: LogStream; readonly text: string }[] = [];

  constructor(work: Pick<Work, "speaker" | "say">) {
    this.#work = work;
  }

  tell(stream: LogStream, text: string): void {
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
