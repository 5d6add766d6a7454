/** What happened, one line per event: hashed, so that two runs of a seed can be compared, and printed when somebody wants to read it. */
import { createHash } from "node:crypto";
import { EPOCH, type Timeline } from "./timeline.ts";

/** How much is told: events, or also every statement. */
export type Telling = "nothing" | "events" | "statements";

export class Story {
  readonly #timeline: Timeline;
  readonly #hash = createHash("sha256");
  readonly #print: (line: string) => void;
  readonly #telling: Telling;
  lines = 0;

  constructor(timeline: Timeline, telling: Telling = "nothing", print: (line: string) => void = console.log) {
    this.#timeline = timeline;
    this.#telling = telling;
    this.#print = print;
  }

  tell(actor: string, what: string): void {
    const line = this.#line(actor, what);
    if (this.#telling !== "nothing") this.#print(line);
  }

  /** A statement: too many to be read every time. */
  tellStatement(actor: string, what: string): void {
    const line = this.#line(actor, what);
    if (this.#telling === "statements") this.#print(line);
  }

  /** Of all lines so far. */
  get digest(): string {
    return this.#hash.copy().digest("hex").slice(0, 16);
  }

  #line(actor: string, what: string): string {
    const seconds = ((this.#timeline.now - EPOCH) / 1_000).toFixed(6);
    const line = `${seconds.padStart(11)}  ${actor.padEnd(12)} ${what}`;
    this.#hash.update(line);
    this.lines++;
    return line;
  }
}

/** Fields of an event as words. */
export const fieldsOf = (fields: Readonly<Record<string, unknown>>, length = 300): string =>
  Object.entries(fields).map(([name, value]) =>
    ` ${name}=${typeof value === "string" ? value : JSON.stringify(value)}`
  ).join("").slice(0, length);
