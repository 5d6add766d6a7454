/** What callers hold: functions by name and by declaration, and the methods of classes. */
import { CallHandle } from "./call_handle.ts";
import {
  type CallOptions,
  create,
  createAndWait,
  type Creation,
  newKey,
  type SubmitOptions,
  type Target,
} from "./calls.ts";
import { ambientClient, type Client } from "./client.ts";
import type { Context } from "./context.ts";
import { inputText } from "./inputs.ts";
import { MapIterator, type MapOptions, type Settled } from "./map.ts";
import type { CallArgs, Output, Yield } from "./returned.ts";
import type { Wire } from "./transport.ts";
import { outgoing } from "./values.ts";

/** What stays the same for all calls of a handle. */
export interface HandleOptions extends CallOptions {
  /** Where to call. By default what the environment says. */
  readonly client?: Client;
}

/** What is behind a handle. */
export interface Callee {
  readonly app: string;
  /** Throws while the name is not known. */
  name(): string;
  /** Runs the code here. Throws when there is none. */
  run(input: unknown, ctx: Context | undefined): unknown;
}

/** Types that a handle stands for, in a place that no value has. */
declare const TYPES: unique symbol;

/**
 * A function that can be called: `Input` as callers send it, `Returned` as its handler returns it.
 *
 * @example
 * ```ts
 * import { App } from "berth";
 *
 * const app = new App("numbers");
 * const double = app.function({}, (n: number) => 2 * n);
 * const count = app.function({}, function* (to: number) {
 *   for (let n = 1; n <= to; n++) yield n;
 * });
 *
 * export async function use() {
 *   const one = await double.remote(21); // waits for the result
 *   const call = await double.spawn(21); // does not
 *   for await (const n of double.map([1, 2, 3])) console.log(n, one, call.id); // many, in order
 *   for await (const n of count.stream(3)) console.log(n); // each yield of a generator
 * }
 * ```
 */
export class FunctionHandle<Input, Returned> {
  declare readonly [TYPES]: (input: Input) => Returned;
  readonly #callee: Callee;
  readonly #options: HandleOptions;

  constructor(callee: Callee, options: HandleOptions = {}) {
    this.#callee = callee;
    this.#options = options;
  }

  /** Calls, and waits for the result. Throws a CallFailedError when there is none. An abort of the signal cancels the call. */
  async remote(...[input, options = {}]: CallArgs<Input, SubmitOptions>): Promise<Output<Returned>> {
    const creation = await this.#creation(input, options);
    return await createAndWait(this.#wire, creation, options.signal) as Output<Returned>;
  }

  /** Calls without waiting for the result. */
  async spawn(
    ...[input, options = {}]: CallArgs<Input, SubmitOptions>
  ): Promise<CallHandle<Output<Returned>>> {
    const creation = await this.#creation(input, options);
    const { calls } = await create(this.#wire, creation, options.signal);
    return new CallHandle(this.#wire, calls[0]!.id);
  }

  /** Calls once per input, and gives the results in order, or as calls end. Reads its source only as far as it must. */
  map(
    inputs: Iterable<Input> | AsyncIterable<Input>,
    options: MapOptions & { readonly onError: "yield" },
  ): AsyncIterableIterator<Settled<Output<Returned>>>;
  map(
    inputs: Iterable<Input> | AsyncIterable<Input>,
    options?: MapOptions,
  ): AsyncIterableIterator<Output<Returned>>;
  map(
    inputs: Iterable<Input> | AsyncIterable<Input>,
    options: MapOptions = {},
  ): AsyncIterableIterator<unknown> {
    const target = this.#target();
    return new MapIterator(this.#wire, target, inputs, { ...options, calls: this.#calls(options) });
  }

  /**
   * Calls a generator and gives each value it yields, as it comes. When an attempt fails and is repeated, what the new
   * attempt yields follows what the old one did. Leaving the loop early cancels the call.
   */
  async *stream(...[input, options = {}]: CallArgs<Input, SubmitOptions>): AsyncGenerator<Yield<Returned>> {
    const call = await this.spawn(...[input, options] as CallArgs<Input, SubmitOptions>);
    let ended = false;
    try {
      for await (const { kind, value } of call.events(waiting(options))) {
        if (kind === "yield") yield value as Yield<Returned>;
      }
      ended = true;
      await call.result(waiting(options));
    } finally {
      if (!ended) await call.cancel().catch(() => {});
    }
  }

  /** Runs the handler in this process, without a platform. */
  async local(...[input, ctx]: CallArgs<Input, Context>): Promise<Awaited<Returned>> {
    return await this.#callee.run(input, ctx) as Awaited<Returned>;
  }

  /** The same function, called differently. */
  withOptions(options: HandleOptions): FunctionHandle<Input, Returned> {
    return new FunctionHandle(this.#callee, { ...this.#options, ...options });
  }

  get #wire(): Wire {
    return (this.#options.client ?? ambientClient()).wire;
  }

  #target(): Target {
    return { app: this.#callee.app, name: this.#callee.name() };
  }

  #calls({ concurrencyKey }: Pick<CallOptions, "concurrencyKey">): CallOptions {
    const { client: _, ...calls } = this.#options;
    return concurrencyKey === undefined ? calls : { ...calls, concurrencyKey };
  }

  async #creation(input: unknown, options: SubmitOptions): Promise<Creation> {
    const target = this.#target();
    const key = options.idempotencyKey ?? newKey(this.#wire.random);
    const text = await outgoing(this.#wire, inputText(input), "the input");
    return { target, inputs: `"input":${text}`, options: this.#calls(options), key };
  }
}

function waiting({ signal }: SubmitOptions): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

/** A handle for what `F` says: another handle, or the plain type of the function. */
export type HandleOf<F> = F extends { readonly [TYPES]: (input: infer I) => infer R } ? FunctionHandle<I, R>
  : F extends (input: infer I, ...rest: never) => infer R ? FunctionHandle<I, R>
  : FunctionHandle<unknown, unknown>;

/** A function known by its names alone. */
export function fromName<F = unknown>(app: string, name: string, options: HandleOptions = {}): HandleOf<F> {
  const run = () => {
    throw new TypeError(`Cannot run ${app}/${name} locally: only its name is known here`);
  };
  return new FunctionHandle({ app, name: () => name, run }, options) as HandleOf<F>;
}

/**
 * Functions by name.
 *
 * @example
 * ```ts
 * import { Function } from "berth";
 *
 * export const train = Function.fromName<(input: { epochs: number }) => { loss: number }>("digits", "train");
 * ```
 */
export const Function = { fromName } as const;
