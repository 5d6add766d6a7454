/** A platform in memory for the SDK's client: calls end as they are told to, and the way there can be as bad as a test wants. */
import type { Fetch } from "../../sdk/ports.ts";
import {
  type CallState,
  formatBatchId,
  formatCallId,
  type Json,
  parseBatchId,
  parseCallId,
} from "../../sdk/protocol.ts";
import { type ManualClock, settle } from "./manual_clock.ts";

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  readonly body: string;
}

/** What becomes of a request: it does not arrive, it is acted on but the answer is lost, or somebody else answers. */
export type Fault = "unreached" | "lost" | Response;

type End = readonly [state: CallState, value: Json];

interface Batch {
  readonly inputs: readonly Json[];
  readonly ends: Map<number, End>;
  readonly cancelled: boolean[];
}

export class EchoApi {
  readonly requests: Asked[] = [];
  readonly batches: Batch[] = [];
  readonly #batchByKey = new Map<string, number>();
  #changed = Promise.withResolvers<void>();

  /** How each call ends; undefined for one that does not. */
  run: (input: Json) => End | undefined = (input) => ["succeeded", input];
  fault: (asked: Asked) => Fault | undefined = () => undefined;
  /** Results that one connection brings before it is cut. */
  cutAfter = Infinity;
  /** In which order results that are there are sent. */
  order: (a: number, b: number) => number = (a, b) => a - b;

  readonly fetch: Fetch = async (input, init = {}) => {
    const { pathname, search } = new URL(input);
    const asked = {
      method: init.method ?? "GET",
      path: pathname + search,
      headers: new Headers(init.headers),
      body: typeof init.body === "string" ? init.body : "",
    };
    init.signal?.throwIfAborted();
    this.requests.push(asked);
    const fault = this.fault(asked);
    if (fault instanceof Response) return fault;
    if (fault === "unreached") throw new TypeError("connection refused");
    const answer = await this.#answer(asked, init.signal ?? undefined);
    if (fault === "lost") throw new TypeError("connection reset");
    return answer;
  };

  /** Ends what has not ended. */
  end(batch: number, index: number, end: End): void {
    this.batches[batch]!.ends.set(index, end);
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  asked(method: string, pattern: RegExp): Asked[] {
    return this.requests.filter((asked) => asked.method === method && pattern.test(asked.path));
  }

  async #answer({ method, path, headers, body }: Asked, signal?: AbortSignal): Promise<Response> {
    const create = /^\/v1\/apps\/(.+)\/functions\/(.+)\/calls$/.exec(path);
    if (create !== null) return await this.#create(headers, JSON.parse(body), signal);
    const cancel = /^\/v1\/batches\/(\w+)\/cancel$/.exec(path);
    if (cancel !== null) return this.#cancel(cancel[1]!);
    const results = /^\/v1\/batches\/(\w+)\/results\?from=(\d+)$/.exec(path);
    if (results !== null) return this.#results(parseBatchId(results[1]!), Number(results[2]), signal);
    const call = /^\/v1\/calls\/(\w+)$/.exec(path);
    if (call !== null && method === "GET") return Response.json(this.#call(call[1]!));
    return Response.json({ error: { code: "not_found", message: `No ${path}`, requestId: "req_1" } }, {
      status: 404,
    });
  }

  async #create(
    headers: Headers,
    body: { input?: Json; inputs?: Json[] },
    signal?: AbortSignal,
  ): Promise<Response> {
    const key = headers.get("idempotency-key") ?? String(Math.random());
    const batch = this.#batchByKey.get(key) ?? this.#add(body.inputs ?? [body.input!]);
    this.#batchByKey.set(key, batch);
    const { inputs, ends } = this.batches[batch]!;
    if (headers.has("prefer") && inputs.length === 1) {
      while (!ends.has(0)) await this.#moved(signal);
      return Response.json(this.#call(formatCallId({ batch, index: 0 })));
    }
    const calls = inputs.map((_, index) => ({ id: formatCallId({ batch, index }), state: "queued" }));
    return Response.json({ batch: formatBatchId(batch), calls }, { status: 202 });
  }

  #add(inputs: readonly Json[]): number {
    const ends = new Map<number, End>();
    inputs.forEach((input, index) => {
      const end = this.run(input);
      if (end !== undefined) ends.set(index, end);
    });
    return this.batches.push({ inputs, ends, cancelled: [] }) - 1;
  }

  #cancel(id: string): Response {
    const { inputs, ends, cancelled } = this.batches[parseBatchId(id)]!;
    const open = inputs.map((_, index) => index).filter((index) => !ends.has(index));
    for (const index of open) ends.set(index, ["cancelled", null]);
    cancelled.push(true);
    return Response.json({ batch: id, cancelled: open.length });
  }

  #results(batch: number, from: number, signal?: AbortSignal): Response {
    const { inputs, ends } = this.batches[batch]!;
    const sent = new Set<number>();
    let left = this.cutAfter;
    const encoder = new TextEncoder();
    const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
      if (left <= 0) return controller.error(new TypeError("connection reset"));
      const wanted = inputs.length - from;
      const fresh = () =>
        [...ends.keys()].filter((index) => index >= from && !sent.has(index)).sort(this.order);
      while (fresh().length === 0 && sent.size < wanted) await this.#moved(signal);
      const lines = fresh().slice(0, left);
      left -= lines.length;
      for (const index of lines) sent.add(index);
      controller.enqueue(
        encoder.encode(lines.map((index) => `${JSON.stringify(line(index, ends.get(index)!))}\n`).join("")),
      );
      if (sent.size >= wanted) controller.close();
    };
    return new Response(new ReadableStream({ pull }));
  }

  #call(id: string): Json {
    const { batch, index } = parseCallId(id);
    const [state, value] = this.batches[batch]!.ends.get(index) ?? ["queued", null];
    return {
      id,
      state,
      ...(state === "succeeded" ? { result: value } : state === "failed" ? { failure: value } : {}),
    };
  }

  #moved(signal?: AbortSignal): Promise<void> {
    const aborted = Promise.withResolvers<never>();
    signal?.addEventListener("abort", () => aborted.reject(signal.reason));
    return Promise.race([this.#changed.promise, aborted.promise]);
  }
}

const line = (index: number, [state, value]: End): Json =>
  state === "succeeded"
    ? [index, state, value, null]
    : [index, state, null, state === "failed" ? value : null];

/** A failure as the platform tells it. */
export const failure = (message: string): Json => ({ kind: "user_error", message, retryable: true });

/** Lets time pass until a promise has settled: waits of any length end, in their order. */
export async function passing<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  let settled = false;
  promise.then(() => settled = true, () => settled = true);
  await settle();
  while (!settled) await clock.advance(100);
  return await promise;
}
