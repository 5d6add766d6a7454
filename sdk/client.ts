/** The connection to one platform. Handles find one by themselves; programs that talk to several make their own. */
import { CallHandle } from "./call_handle.ts";
import { type Profile, readProfile } from "./config.ts";
import { type Duration, parseDuration } from "./duration.ts";
import { type Clock, type Fetch, type Random, realClock, realFetch, realRandom } from "./ports.ts";
import type { Route } from "./protocol/route.ts";
import type { Output, RawInput } from "./protocol/routes.ts";
import { exchange, httpTransport, send, type Transport, type Wire, type WireRequest } from "./transport.ts";

/** Choices of {@link Client}. */
export interface ClientOptions {
  /** Where the platform is. By default `BERTH_URL`, else what the last `berth up` on this machine wrote. */
  readonly url?: string;
  /** By default `BERTH_KEY`, else what the last `berth up` on this machine wrote. */
  readonly key?: string;
  /**
   * How long to go on trying while the platform cannot be reached.
   * @default "60s"
   */
  readonly patience?: Duration;
  /** Replaces HTTP. */
  readonly transport?: Transport;
  readonly fetch?: Fetch;
  readonly clock?: Clock;
  readonly random?: Random;
}

/**
 * A connection to one platform.
 *
 * @example
 * ```ts
 * import { Client, Function } from "berth";
 *
 * export async function train(epochs: number) {
 *   const client = new Client({ url: "https://berth.example.com", key: "berth_…" });
 *   const train = Function.fromName<(input: { epochs: number }) => { loss: number }>("digits", "train", { client });
 *   return (await train.remote({ epochs })).loss;
 * }
 * ```
 */
export class Client {
  /** What its requests travel over. */
  readonly wire: Wire;

  constructor(options: ClientOptions = {}) {
    const { patience = "60s", clock = realClock, random = realRandom } = options;
    const transport = options.transport ??
      httpTransport({ ...profileOf(options), fetch: options.fetch ?? realFetch });
    this.wire = { transport, clock, random, patienceMs: parseDuration(patience) };
  }

  /** A call that was made earlier. */
  call<Output = unknown>(id: string): CallHandle<Output> {
    return new CallHandle(this.wire, id);
  }

  /** Asks by a route of the contract; the answer is checked. */
  send<R extends Route>(
    route: R,
    input: RawInput<R>,
    options: { signal?: AbortSignal } = {},
  ): Promise<Output<R>> {
    return send(this.wire, route, input, options);
  }

  /** Asks by hand, for what is not JSON: bundles, live streams. Answers other than 2xx are thrown. */
  fetch(request: WireRequest): Promise<Response> {
    return exchange(this.wire, request, (response) => response);
  }
}

function profileOf({ url, key }: ClientOptions): Profile {
  return url !== undefined && key !== undefined
    ? { url, key }
    : { ...readProfile(), ...(url && { url }), ...(key && { key }) };
}

let ambient: Client | undefined;

/** The client of handles that were not given one. */
export function ambientClient(): Client {
  return ambient ??= new Client();
}

/** Inside a guest: all calls travel over its channel. */
export function setAmbientClient(client: Client): void {
  ambient = client;
}
