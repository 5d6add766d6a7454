/**
 * Speaks the guest protocol for a program that does not: a server of the user's own. An engine starts the program and says how to
 * reach it; here is when it is ready, whether it stays well, and how it is told to end.
 */
import { parseDuration } from "../sdk/duration.ts";
import type { Clock } from "../sdk/ports.ts";
import type { ServerSpec } from "../sdk/protocol.ts";
import { Bell } from "./bell.ts";
import type { Channel, Guest } from "./engine.ts";
import { FrameDecoder } from "./framing.ts";
import { ailment, type Asked } from "./health.ts";

/** A program that was started and is to listen. */
export interface ServerProgram {
  readonly pid: number;
  /** Connects to where it is to listen; rejects while it does not. */
  readonly dial: () => Promise<Channel>;
  /** Where that is, for messages: `port 8000`. */
  readonly place: string;
  readonly exited: Promise<unknown>;
  /** How many connections to it are open; null where that cannot be told. */
  connections(): number | null;
  /** Asks it to end. */
  terminate(): void;
}

export interface InterpreterDeps {
  readonly program: ServerProgram;
  readonly server: ServerSpec;
  readonly clock: Clock;
}

/** A refused connection tells nothing of when to try again: first soon, later rarely, and at once when it prints something. */
const TRY_MS = 5;
const TRY_MS_MAX = 250;
const TRY_GROWTH = 1.5;
/**
 * A program that drains has had no connection for so long: longer than it takes all gateways to hear that it takes no more requests, by
 * the slowest way.
 */
const QUIET_MS = 1_200;
const LOOK_MS = 50;

export class Interpreter implements Channel {
  readonly #deps: InterpreterDeps;
  readonly #asked: Asked;
  readonly #decoder: FrameDecoder;
  /** Rung when the program prints or ends. */
  readonly #bell: Bell;
  readonly #over = new AbortController();
  #unread: Uint8Array[] = [];
  #arrived = Promise.withResolvers<void>();
  #printed = false;
  #draining = false;
  #terminated = false;
  #lacks: string;

  constructor(deps: InterpreterDeps) {
    const { program, server: { health }, clock } = deps;
    this.#deps = deps;
    this.#asked = { dial: program.dial, place: program.place, health };
    this.#lacks = `nothing listens on ${program.place}`;
    this.#bell = new Bell(clock);
    this.#decoder = new FrameDecoder({
      frame: (frame) => this.#hear(frame as { readonly t: string }),
      body: () => {},
      violation: () => {},
    });
    program.exited.then(() => this.close());
    this.#say({ t: "hello", protocol: 1, pid: program.pid });
  }

  /** What it still lacks to be ready, in a clause. */
  get lacks(): string {
    return this.#lacks;
  }

  /** What the program prints, passed on: a server that has something to say may be ready. */
  listen(printed: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    return printed.pipeThrough(
      new TransformStream({
        transform: (chunk, out) => {
          this.#printed = true;
          this.#bell.ring();
          out.enqueue(chunk);
        },
      }),
    );
  }

  // ── the runner's side ───────────────────────────────────────────────────────────────────────────────────────────────

  async read(into: Uint8Array): Promise<number | null> {
    while (this.#unread.length === 0) {
      if (this.#over.signal.aborted) return null;
      await this.#arrived.promise;
      this.#arrived = Promise.withResolvers();
    }
    const part = this.#unread.shift()!;
    const n = Math.min(part.length, into.length);
    into.set(part.subarray(0, n));
    if (n < part.length) this.#unread.unshift(part.subarray(n));
    return n;
  }

  write(bytes: Uint8Array): Promise<number> {
    this.#decoder.push(bytes);
    return Promise.resolve(bytes.length);
  }

  close(): void {
    this.#over.abort();
    this.#bell.ring();
    this.#arrived.resolve();
  }

  // ── the program's side ──────────────────────────────────────────────────────────────────────────────────────────────

  #hear({ t }: { readonly t: string }): void {
    if (t === "load") this.#attend();
    if (t !== "drain" || this.#draining) return;
    this.#draining = true;
    this.#drain();
  }

  /**
   * Nothing new comes to it, but many a program ends at once when it is told to, with all that it has open. So it is told when nobody
   * has a connection any more, or has had one for too long.
   */
  async #drain(): Promise<void> {
    const { program, server, clock } = this.#deps;
    const until = clock.now() + parseDuration(server.drain);
    let busyAt = clock.now();
    while (!this.#over.signal.aborted && !this.#terminated) {
      const open = program.connections(), now = clock.now();
      if (open === null || now >= until || now - busyAt >= QUIET_MS) break;
      if (open > 0) busyAt = now;
      await clock.sleep(LOOK_MS, this.#over.signal);
    }
    this.terminate();
  }

  /** Asks the program to end, whatever it has open. */
  terminate(): void {
    if (this.#terminated || this.#over.signal.aborted) return;
    this.#terminated = true;
    this.#deps.program.terminate();
  }

  async #attend(): Promise<void> {
    await this.#untilReady();
    if (this.#over.signal.aborted) return;
    this.#say({ t: "ready" });
    await this.#watch();
  }

  async #untilReady(): Promise<void> {
    for (let pauseMs = TRY_MS; !this.#over.signal.aborted; pauseMs *= TRY_GROWTH) {
      this.#printed = false;
      const problem = await ailment(this.#asked, this.#deps.clock);
      if (problem === null) return;
      this.#lacks = problem;
      if (!this.#printed) await this.#bell.wait(Math.min(pauseMs, TRY_MS_MAX));
      if (this.#printed) pauseMs = TRY_MS;
    }
  }

  /** Asks now and then; one that was told to end may answer what it likes. */
  async #watch(): Promise<void> {
    const { server: { health }, clock } = this.#deps;
    if (health === undefined) return;
    const { signal } = this.#over;
    for (let failures = 0; !signal.aborted && !this.#draining;) {
      await clock.sleep(parseDuration(health.interval), signal);
      const problem = await ailment(this.#asked, clock);
      failures = problem === null ? 0 : failures + 1;
      if (failures < health.failures || this.#draining) continue;
      const times = failures === 1 ? "" : ` ${failures} times in a row`;
      return this.#say({ t: "broken", message: `The server failed its health check${times}: ${problem}` });
    }
  }

  #say(frame: Readonly<Record<string, unknown>>): void {
    this.#unread.push(new TextEncoder().encode(`${JSON.stringify(frame)}\n`));
    this.#arrived.resolve();
  }
}

/** What it prints, as its engine reads it. */
type Printed = Pick<Guest, "stdout" | "stderr">;

/** The part of a guest that is the same for every server, whatever engine has started it. */
export function interpreted(
  deps: InterpreterDeps,
  { stdout, stderr }: Printed,
): Printed & Required<Pick<Guest, "channel" | "lacks" | "terminate">> {
  const channel = new Interpreter(deps);
  return {
    channel,
    stdout: channel.listen(stdout),
    stderr: channel.listen(stderr),
    lacks: () => channel.lacks,
    terminate: () => channel.terminate(),
  };
}
