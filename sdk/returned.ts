/** Types alone: what a handler's return value is for the caller, who gets it as JSON. */

type Generated<Y, R> = AsyncGenerator<Y, R> | Generator<Y, R>;

/** A value after a round trip through JSON: `undefined` becomes null, a `Date` its text, methods vanish. */
export type Jsonified<T> = T extends { toJSON(): infer J } ? Jsonified<J>
  : T extends undefined | void ? null
  : T extends string | number | boolean | null ? T
  : T extends readonly unknown[] ? { -readonly [K in keyof T]: Jsonified<T[K]> }
  : T extends (...args: never) => unknown ? never
  : T extends object ? { [K in keyof T as T[K] extends (...args: never) => unknown ? never : K]: Field<T[K]> }
  : T;

/** In an object, a field that may be undefined may be absent. */
type Field<T> = undefined extends T ? Jsonified<Exclude<T, undefined>> | undefined : Jsonified<T>;

/** What callers get of a handler that returns `R`: its value, or a generator's return value. */
export type Output<R> = Awaited<R> extends Generated<unknown, infer T> ? Jsonified<Awaited<T>>
  : Jsonified<Awaited<R>>;

/** What a generator yields; never for other handlers. */
export type Yield<R> = Awaited<R> extends Generated<infer Y, unknown> ? Jsonified<Y> : never;

/** Arguments of a call: the input can be left out where the handler takes none. */
export type CallArgs<I, Options> = undefined extends I ? [input?: I, options?: Options]
  : [I] extends [void] ? [input?: undefined, options?: Options]
  : [input: I, options?: Options];
