/** Creating calls, waiting for their ends and cancelling them, over a wire. */
import type { Duration } from "./duration.ts";
import { CallFailedError } from "./errors.ts";
import { follow } from "./follow.ts";
import { parseLines } from "./lines.ts";
import type { Clock, Random } from "./ports.ts";
import type { Call, CreatedCalls, ResultLine } from "./protocol/calls.ts";
import { formatBatchId, parseCallId } from "./protocol/ids.ts";
import { ask, type Wire } from "./transport.ts";
import { incoming } from "./values.ts";

/** How calls are queued. Fixed for a handle by `withOptions`. */
export interface CallOptions {
  /**
   * From 0 (whenever) to 100 (first).
   * @default 50
   */
  readonly priority?: number;
  /** Time from creation after which a call that has not started expires. */
  readonly ttl?: Duration;
  /** Time to wait before the call may start. */
  readonly delay?: Duration;
  /** Words to find the calls by. */
  readonly tags?: Readonly<Record<string, string>>;
  /** Of the calls with this key, only `concurrencyPerKey` of the function run at a time; the others wait their turn. */
  readonly concurrencyKey?: string;
}

/** What is said with one call. */
export interface SubmitOptions {
  /** Cancels the call, and gives up waiting for it. */
  readonly signal?: AbortSignal | undefined;
  /** Two calls with the same key are one. By default every call has its own. */
  readonly idempotencyKey?: string;
  /** As in {@link CallOptions}, for this call. */
  readonly concurrencyKey?: string;
}

/** What to call: an app and a function or `Class.method` of it. */
export interface Target {
  readonly app: string;
  readonly name: string;
}

/** One request that creates calls. `inputs` is JSON text: `"input":…` or `"inputs":[…]`. */
export interface Creation {
  readonly target: Target;
  readonly inputs: string;
  readonly options: CallOptions;
  /** Makes a repeat of the request harmless. */
  readonly key: string;
  /** That there is no room for the calls is thrown at once, not waited out. */
  readonly refusable?: boolean;
}

/** Longest time that one request waits for the end of its call; after that the results are followed. */
const WAIT_SECONDS = 30;
/** How long an abort tries to tell the platform. */
const CANCEL_MS = 5_000;

/** A key that nobody else has. */
export const newKey = (random: Random): string => `sdk-${random.bytes(16).toHex()}`;

/** Creates calls, once however often the request must be repeated. An abort cancels them. */
export async function create(wire: Wire, creation: Creation, signal?: AbortSignal): Promise<CreatedCalls> {
  return await cancelledBy(signal, wire, creation, () => post<CreatedCalls>(wire, creation, {}, signal));
}

/** Creates one call and waits for its end. An abort cancels it. */
export async function createAndWait(wire: Wire, creation: Creation, signal?: AbortSignal): Promise<unknown> {
  return await cancelledBy(signal, wire, creation, async () => {
    const answer = await post<Call | CreatedCalls>(
      wire,
      creation,
      { prefer: `wait=${WAIT_SECONDS}` },
      signal,
    );
    if (!("batch" in answer)) {
      return await incoming(wire, valueOf(answer.id, answer.state, answer.result, answer.failure), signal);
    }
    return await result(wire, answer.calls[0]!.id, signal);
  });
}

/** The end of one call: its result, or CallFailedError. */
export async function result(wire: Wire, id: string, signal?: AbortSignal): Promise<unknown> {
  const { batch, index } = parseCallId(id);
  for await (const lines of resultLines(wire, formatBatchId(batch), () => index, signal)) {
    const line = lines.find((line) => line[0] === index);
    if (line !== undefined) return await incoming(wire, valueOf(id, line[1], line[2], line[3]), signal);
  }
}

/** Results of a batch as its calls end, from an index that is asked for at each new connection. Repeats are possible. */
export function resultLines(
  wire: Wire,
  batch: string,
  from: () => number,
  signal?: AbortSignal,
): AsyncGenerator<ResultLine[]> {
  const decode = (text: string) => parseLines<ResultLine>(text).filter((line) => line.length > 0);
  return follow(wire, () => ({
    request: { method: "GET", path: `/v1/batches/${batch}/results?from=${from()}` },
    decode,
  }), signal);
}

/** Cancels what has not ended of a batch. */
export async function cancelBatch(wire: Wire, batch: string, signal?: AbortSignal): Promise<void> {
  await ask(wire, {
    method: "POST",
    path: `/v1/batches/${batch}/cancel`,
    body: "{}",
    repeatable: true,
    signal,
  });
}

/** Runs something that may not take long, as what an abort still has to do: its signal aborts after five seconds. */
export async function briefly(clock: Clock, work: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const over = new AbortController();
  const late = new AbortController();
  const limit = clock.sleep(CANCEL_MS, over.signal).then(() => late.abort());
  const done = work(late.signal).catch(() => {}); // Out of reach: that the caller stops waiting is done all the same
  await Promise.race([done, limit]);
  over.abort();
}

/** A result's value, or the failure as an error. */
export function valueOf(
  id: string,
  state: Call["state"],
  result: ResultLine[2] | undefined,
  failure: ResultLine[3] | undefined,
): unknown {
  if (state === "succeeded") return result ?? null;
  const kind = "cancelled";
  const message = state === "expired" ? "It expired before it could start" : "It was cancelled";
  throw new CallFailedError(id, failure ?? { kind, message, retryable: false });
}

/**
 * An abort cancels what was created. The reply that would have named it may not have come yet: the same request with the
 * same key names it, or creates it, so that after this there is one cancelled call and none that runs.
 */
async function cancelledBy<T>(
  signal: AbortSignal | undefined,
  wire: Wire,
  creation: Creation,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!signal?.aborted) throw error;
    await briefly(wire.clock, async (signal) => {
      const { batch } = await post<CreatedCalls>(wire, creation, {}, signal);
      await cancelBatch(wire, batch, signal);
    });
    throw signal.reason;
  }
}

function post<T>(
  wire: Wire,
  creation: Creation,
  headers: Record<string, string>,
  signal?: AbortSignal,
): Promise<T> {
  const { target, inputs, options, key, refusable } = creation;
  const rest = JSON.stringify(options).slice(1);
  return ask(wire, {
    method: "POST",
    path: `/v1/apps/${encodeURIComponent(target.app)}/functions/${encodeURIComponent(target.name)}/calls`,
    headers: { "idempotency-key": key, ...headers },
    body: `{${inputs}${rest === "}" ? "" : ","}${rest}`,
    signal,
    refusable,
  });
}
