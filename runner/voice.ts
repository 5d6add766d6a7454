/**
 * To which call a line belongs that a guest printed without saying for which: the one that has run longest. When none runs, lines
 * are kept for the next, so that what loading printed is not lost. Where there are no calls, lines are the container's own.
 */
import type { Clock } from "../sdk/ports.ts";
import { cutText } from "./lines.ts";
import type { Outbox } from "./outbox.ts";
import type { Redactor } from "./redact.ts";
import type { LogStream, Work } from "./work.ts";

/** Lines that are kept, the latest. */
const ASIDES_MAX = 64;

/** Takes the lines of a container itself. */
export type Own = (stream: LogStream, text: string) => void;

export interface OwnLinesDeps {
  readonly clock: Clock;
  readonly outbox: Pick<Outbox, "containerLog">;
  readonly redactor: () => Redactor;
  /** Number of the next line. */
  readonly next: number;
}

export function ownLines(container: string, { clock, outbox, redactor, next }: OwnLinesDeps): Own {
  let n = next;
  return (stream, text) => {
    const line = cutText(redactor().text(text));
    outbox.containerLog([container, n++, clock.now(), stream, line]);
  };
}

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
