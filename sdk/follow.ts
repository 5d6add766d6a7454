/** Following a stream of the platform to its end, through lost connections and restarts. */
import { PlatformError } from "./errors.ts";
import { LineReader } from "./lines.ts";
import { backoffMs, exchange, type Wire, type WireRequest } from "./transport.ts";

/** Where to go on: what to ask for, and how to read the lines of the answer. */
export interface Position<T> {
  readonly request: WireRequest;
  readonly decode: (lines: string) => T[];
}

/** The platform sends a keep-alive every 15 s or oftener: a connection that is silent for longer than this is dead. */
const SILENCE_MS = 45_000;

/**
 * The items of a stream, several at a time. Asks `connect` for the position at the start and after each lost connection.
 * Never ends by itself: the reader knows when it has seen all.
 */
export async function* follow<T>(
  wire: Wire,
  connect: () => Position<T>,
  signal?: AbortSignal,
): AsyncGenerator<T[]> {
  let givesUpAt = Infinity;
  for (let failures = 0;; failures++) {
    for await (const items of connection(wire, connect(), signal)) {
      failures = -1;
      givesUpAt = Infinity;
      if (items.length > 0) yield items;
    }
    signal?.throwIfAborted();
    if (failures === 0) givesUpAt = wire.clock.now() + wire.patienceMs;
    if (wire.clock.now() > givesUpAt) {
      throw new PlatformError(
        "bad_gateway",
        "Cannot follow a stream: it was cut off before its end again and again",
      );
    }
    await wire.clock.sleep(backoffMs(Math.max(0, failures), wire.random.next()), signal);
  }
}

/** What one connection brings, an empty list for a keep-alive. Ends quietly when it is lost. */
async function* connection<T>(
  wire: Wire,
  { request, decode }: Position<T>,
  signal?: AbortSignal,
): AsyncGenerator<T[]> {
  const silence = new Silence(wire, signal);
  try {
    const body = await exchange(wire, { ...request, signal }, (response) => response.body!);
    const lines = new LineReader();
    for await (const bytes of silence.watch(body)) {
      const text = lines.push(bytes);
      if (text !== undefined) yield decode(text);
    }
  } finally {
    silence.end();
  }
}

/** Ends a connection that says nothing for too long, since a machine that lost its power never says goodbye. */
class Silence {
  readonly #wire: Wire;
  readonly #over = new AbortController();
  readonly #caller: AbortSignal | undefined;
  #heardAt: number;

  constructor(wire: Wire, caller: AbortSignal | undefined) {
    this.#wire = wire;
    this.#caller = caller;
    this.#heardAt = wire.clock.now();
  }

  async *watch(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
    const reader = body.getReader();
    const stop = () => reader.cancel().catch(() => {});
    this.#caller?.addEventListener("abort", stop);
    this.#guard(stop);
    try {
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        this.#heardAt = this.#wire.clock.now();
        yield read.value;
      }
    } catch {
      // A lost connection ends the stream; who follows it connects again
    } finally {
      this.#caller?.removeEventListener("abort", stop);
      await stop();
    }
  }

  end(): void {
    this.#over.abort();
  }

  async #guard(stop: () => void): Promise<void> {
    const { clock } = this.#wire;
    while (!this.#over.signal.aborted) {
      await clock.sleep(this.#heardAt + SILENCE_MS - clock.now(), this.#over.signal);
      if (clock.now() >= this.#heardAt + SILENCE_MS) return stop();
    }
  }
}
