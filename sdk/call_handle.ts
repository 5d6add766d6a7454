/** A call that has been made: its end, its state, what it says meanwhile. */
import { result } from "./calls.ts";
import { liveItems } from "./live_items.ts";
import type { Call, EventItem, LogItem } from "./protocol/calls.ts";
import type { Json } from "./protocol/primitives.ts";
import { ask, type Wire } from "./transport.ts";
import { incoming } from "./values.ts";

/** What waiting takes. */
export interface WaitOptions {
  /** Gives up waiting; the call goes on. */
  readonly signal?: AbortSignal;
}

/**
 * A call by its id. As JSON it is `{"id": …}`, so that a function may return it.
 *
 * @example
 * ```ts
 * import { App } from "berth";
 *
 * const train = new App("digits").function({}, (input: { epochs: number }) => ({ loss: 1 / input.epochs }));
 *
 * export async function watch() {
 *   const call = await train.spawn({ epochs: 10 });
 *   for await (const { text } of call.logs()) console.log(text);
 *   return (await call.result()).loss;
 * }
 * ```
 */
export class CallHandle<Output = unknown> {
  readonly id: string;
  readonly #wire: Wire;

  constructor(wire: Wire, id: string) {
    this.#wire = wire;
    this.id = id;
  }

  /** The result, once there is one. Throws a CallFailedError when the call ended without. */
  async result({ signal }: WaitOptions = {}): Promise<Output> {
    return await result(this.#wire, this.id, signal) as Output;
  }

  /** The call as it is now. */
  status({ signal }: WaitOptions = {}): Promise<Call> {
    return ask(this.#wire, { method: "GET", path: `/v1/calls/${this.id}`, signal });
  }

  /** Ends the call, running or not. */
  cancel(): Promise<Call> {
    const path = `/v1/calls/${this.id}/cancel`;
    return ask(this.#wire, { method: "POST", path, body: "{}", repeatable: true });
  }

  /** Log lines from the first on, and new ones until the call ends. */
  logs(options: WaitOptions = {}): AsyncGenerator<LogItem> {
    return liveItems<LogItem>(this.#wire, `/v1/calls/${this.id}/logs`, options);
  }

  /** What happened from the start on, and what happens until the call ends; what was yielded as it was, however large. */
  async *events(options: WaitOptions = {}): AsyncGenerator<EventItem> {
    for await (const item of liveItems<EventItem>(this.#wire, `/v1/calls/${this.id}/events`, options)) {
      if (item.kind !== "yield") yield item;
      else yield { ...item, value: await incoming(this.#wire, item.value, options.signal) as Json };
    }
  }

  toJSON(): { id: string } {
    return { id: this.id };
  }
}
