/**
 * What a guest prints on its own stdout and stderr. Always read, so that it never waits for us; made into lines; dropped, with a
 * word about it, when there is more than the allowance.
 */
import { LIMITS } from "../sdk/protocol.ts";
import type { Clock } from "../sdk/ports.ts";
import { LineSplitter, TokenBucket } from "./lines.ts";

export interface OutputDeps {
  readonly clock: Clock;
  /** One line, or a word of the platform's about the lines. */
  tell(stream: "stdout" | "stderr" | "system", text: string): void;
  /** Whether lines can be kept at the moment. */
  roomy(): boolean;
  /** Resolves once what lies in the pipes now has been read. */
  settle(): Promise<void>;
  /** Whether the end of a line may be the beginning of what must not be told: then it waits for its rest. */
  hold(text: string): boolean;
}

/** The end of stderr that is kept to explain an exit; a V8 crash prints some 4 KiB after its reason. */
const TAIL_BYTES = 16 * 1024;
/** Lines that are kept to explain why nothing came of a start. */
const LAST_LINES = 12;
/** A guest counts as printing until this many calls have ended without a sound. */
const SILENT_CALLS = 3;
/** One that never stops printing is not waited for. */
const QUIET_TRIES = 20;

export class Output {
  readonly #deps: OutputDeps;
  readonly #bucket: TokenBucket;
  readonly #splitters = { stdout: new LineSplitter(), stderr: new LineSplitter() };
  #tail: Uint8Array[] = [];
  #tailBytes = 0;
  readonly #last: string[] = [];
  #dropped = 0;
  #chunks = 0;
  #silent = 0;

  constructor(deps: OutputDeps) {
    this.#deps = deps;
    const { logBytesPerSecond: perSecond, logBurstBytes: burst } = LIMITS;
    this.#bucket = new TokenBucket({ burst, perSecond, now: deps.clock.now() });
  }

  /** Reads both to their ends. */
  async read(stdout: ReadableStream<Uint8Array>, stderr: ReadableStream<Uint8Array>): Promise<void> {
    await Promise.all([this.#read("stdout", stdout), this.#read("stderr", stderr)]);
    this.#tellRest((lines) => lines.flush());
  }

  /** The last of stderr. */
  get tail(): string {
    return new TextDecoder().decode(new Uint8Array(this.#tail.flatMap((part) => [...part])));
  }

  /** The last lines of both, in the order they came. */
  get lastLines(): string {
    return this.#last.join("\n");
  }

  /** Whether there may be something in the pipes that has not been read. */
  get printing(): boolean {
    return this.#silent < SILENT_CALLS;
  }

  /** Resolves once nothing more comes: what was printed before now has been told. */
  async quiet(): Promise<void> {
    const before = this.#chunks;
    for (let seen = -1, tries = 0; seen !== this.#chunks && tries < QUIET_TRIES; tries++) {
      seen = this.#chunks;
      await this.#deps.settle();
    }
    this.#silent = this.#chunks === before ? this.#silent + 1 : 0;
    this.#tellRest((lines) => lines.flush(this.#deps.hold));
  }

  async #read(stream: "stdout" | "stderr", bytes: ReadableStream<Uint8Array>): Promise<void> {
    try {
      for await (const chunk of bytes) {
        if (stream === "stderr") this.#keepTail(chunk);
        this.#take(stream, chunk);
      }
    } catch {
      // A pipe that breaks has ended.
    }
  }

  #take(stream: "stdout" | "stderr", chunk: Uint8Array): void {
    this.#chunks++;
    this.#silent = 0;
    if (!this.#deps.roomy() || !this.#bucket.take(chunk.length, this.#deps.clock.now())) {
      if (this.#dropped === 0) this.#tellRest((lines) => lines.tearOff());
      this.#dropped += chunk.length;
      return;
    }
    this.#sayDropped();
    for (const line of this.#splitters[stream].push(chunk)) this.#tell(stream, line);
  }

  /** Tells lines that have no end yet, and what was dropped. */
  #tellRest(rest: (lines: LineSplitter) => string[]): void {
    for (const stream of ["stdout", "stderr"] as const) {
      for (const line of rest(this.#splitters[stream])) this.#tell(stream, line);
    }
    this.#sayDropped();
  }

  #tell(stream: "stdout" | "stderr", line: string): void {
    if (this.#last.push(line) > LAST_LINES) this.#last.shift();
    this.#deps.tell(stream, line);
  }

  #sayDropped(): void {
    if (this.#dropped === 0) return;
    const dropped = `${Math.ceil(this.#dropped / 1024)} KiB`;
    this.#dropped = 0;
    this.#deps.tell(
      "system",
      `Dropped ${dropped} of output: a container may print ${LIMITS.logBytesPerSecond / 1024} KiB a second`,
    );
  }

  #keepTail(chunk: Uint8Array): void {
    this.#tail.push(chunk.slice(-TAIL_BYTES));
    this.#tailBytes += this.#tail.at(-1)!.length;
    while (this.#tailBytes - this.#tail[0]!.length >= TAIL_BYTES) {
      this.#tailBytes -= this.#tail.shift()!.length;
    }
  }
}
