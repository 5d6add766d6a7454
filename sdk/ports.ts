/**
 * The world outside, as small interfaces: time, chance, network, log. Real implementations are beside them; nothing else
 * in Berth reads the clock, a random source, a timer or the global fetch, so that a simulation can stand in for the world.
 */

/** Time in milliseconds since 1970, and waiting. */
export interface Clock {
  now(): number;
  /** Resolves after `ms`, or at once (without throwing) when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** `n` unpredictable bytes. */
  bytes(n: number): Uint8Array<ArrayBuffer>;
}

export type Fetch = (
  input: string | URL,
  init?: RequestInit & { client?: Deno.HttpClient },
) => Promise<Response>;

/** One event with fields: `log("call.requeued", { callId, attempt })`. */
export type Log = (event: string, fields?: Record<string, unknown>) => void;

export const realClock: Clock = {
  now: () => Date.now(),
  async sleep(ms, signal) {
    let left = ms;
    for (; left > TIMER_MS_MAX && !signal?.aborted; left -= TIMER_MS_MAX) await timer(TIMER_MS_MAX, signal);
    await timer(left, signal);
  },
};

/** A timer that is set for longer fires at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

const timer = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timeout);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timeout = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });

export const realRandom: Random = {
  next: () => Math.random(),
  bytes: (n) => crypto.getRandomValues(new Uint8Array(n)),
};

export const realFetch: Fetch = (input, init) => fetch(input, init);

/** Logs as one JSON line per event on stderr. */
export const realLog: Log = (event, fields = {}) =>
  console.error(JSON.stringify({ at: new Date().toISOString(), event, ...fields }));

export const silentLog: Log = () => {};

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

/** A prefixed, time-ordered id: nine characters of time, ten of chance (50 bits). */
export function newId(prefix: string, { clock, random }: { clock: Clock; random: Random }): string {
  let time = "";
  for (let rest = clock.now(), i = 0; i < 9; i++, rest = Math.floor(rest / 32)) {
    time = ALPHABET[rest % 32] + time;
  }
  const chance = Array.from(random.bytes(10), (byte) => ALPHABET[byte % 32]).join("");
  return `${prefix}_${time}${chance}`;
}
