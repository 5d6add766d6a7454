/**
 * `@method`, `@endpoint`, `@cron`, `@enter`, `@exit`: standard ECMAScript decorators that leave marks in a class's metadata,
 * where `@app.cls` finds them.
 */
import type { ContainerContext, Context } from "./context.ts";
import { Cron, type Schedule } from "./cron.ts";
import { isGenerator, type Mark } from "./declaration.ts";
import { isSchema, type Schema, type SchemaOutput } from "./schema.ts";

const MARKS = Symbol.for("berth.marks");

/** A member's code, of any class. */
type Member<Args extends unknown[], Result = unknown> = (this: never, ...args: Args) => Result;
/** A decorator for members with such code. */
type Decorate<M> = (member: M, context: MemberContext) => void;
/** What is used of a decorator's context: the full type would fix the class's. */
type MemberContext = Pick<ClassMethodDecoratorContext, "kind" | "name" | "static" | "private" | "metadata">;

/** Choices of {@link method}. */
export interface MethodOptions<S extends Schema = Schema> {
  /** Checks each input before the method sees it. */
  readonly input?: S;
}

/** Choices of {@link endpoint}. */
export interface MemberEndpointOptions {
  /** Name in `/e/{app}/{name}`. By default that of the method. */
  readonly name?: string;
  /**
   * Who may ask: those with a key, or everybody.
   * @default "key"
   */
  readonly auth?: "key" | "public";
}

/**
 * Makes a method callable, as `Class.method`. It gets the call's input, and the context if it wants it.
 *
 * @example
 * ```ts
 * import { App, method } from "berth";
 *
 * const app = new App("words");
 *
 * @app.cls({ concurrency: 4 })
 * export class Words {
 *   @method()
 *   count(text: string) {
 *     return text.split(/\s+/).length;
 *   }
 * }
 * ```
 */
export function method<S extends Schema = Schema<never, never>>(
  { input }: MethodOptions<S> = {},
): Decorate<Member<[input: SchemaOutput<S>, ctx: Context]>> {
  if (input !== undefined && !isSchema(input)) {
    throw new TypeError("Cannot mark a method: `input` must be a Standard Schema");
  }
  return (member, context) =>
    leave({ kind: "method", member: nameOf(context), input, stream: isGenerator(member) }, context);
}

/**
 * Serves HTTP requests to `/e/{app}/{name}` with a method.
 *
 * @example
 * ```ts
 * import { App, endpoint } from "berth";
 *
 * const app = new App("words");
 *
 * @app.cls()
 * export class Words {
 *   @endpoint({ auth: "public" })
 *   async shout(request: Request) {
 *     return new Response((await request.text()).toUpperCase());
 *   }
 * }
 * ```
 */
export function endpoint(
  { name, auth }: MemberEndpointOptions = {},
): Decorate<Member<[request: Request, ctx: ContainerContext], Response | Promise<Response>>> {
  return (_, context) => leave({ kind: "endpoint", member: nameOf(context), name, auth }, context);
}

/**
 * Calls a method by the clock.
 *
 * @example
 * ```ts
 * import { App, Cron, cron } from "berth";
 *
 * const app = new App("caches");
 *
 * @app.cls()
 * export class Caches {
 *   @cron(Cron("0 4 * * *", { timeZone: "Europe/Berlin" }))
 *   clear() {}
 * }
 * ```
 */
export function cron(schedule: Schedule | string): Decorate<Member<[input: never, ctx: Context]>> {
  const full = typeof schedule === "string" ? Cron(schedule) : schedule;
  return (_, context) => leave({ kind: "cron", member: nameOf(context), schedule: full }, context);
}

/**
 * Runs a method once per container, before anything is served: the place to load weights.
 *
 * @example
 * ```ts
 * import { App, type ContainerContext, enter, method } from "berth";
 *
 * const app = new App("digits");
 *
 * @app.cls({ gpu: "L4:0.5" })
 * export class Digits {
 *   #weights: Uint8Array | undefined;
 *   @enter()
 *   async load(ctx: ContainerContext) {
 *     this.#weights = await ctx.checkpoint.load({ name: "weights" });
 *   }
 *   @method()
 *   size() {
 *     return this.#weights?.length ?? 0;
 *   }
 * }
 * ```
 */
export function enter(): Decorate<Member<[ctx: ContainerContext]>> {
  return (_, context) => leave({ kind: "enter", member: nameOf(context) }, context);
}

/**
 * Runs a method once when its container ends.
 *
 * @example
 * ```ts
 * import { App, exit, method } from "berth";
 *
 * const app = new App("files");
 *
 * @app.cls()
 * export class Files {
 *   @method()
 *   write() {}
 *   @exit()
 *   close() {}
 * }
 * ```
 */
export function exit(): Decorate<Member<[ctx: ContainerContext]>> {
  return (_, context) => leave({ kind: "exit", member: nameOf(context) }, context);
}

/** The marks of a class and of those that it extends, in the order in which they were written. */
export function marksOf(metadata: DecoratorMetadata): readonly Mark[] {
  return (metadata as { [MARKS]?: Mark[] })[MARKS] ?? [];
}

/** Metadata inherits its parent's, so the list is copied before it grows: else a subclass would edit its parent. */
function leave(mark: Mark, context: MemberContext): void {
  if (context.kind !== "method" || context.static || context.private) {
    throw new TypeError(
      `Cannot mark ${mark.member} with @${mark.kind}: it must be a public method of instances`,
    );
  }
  const metadata = context.metadata as { [MARKS]?: Mark[] };
  if (!Object.hasOwn(metadata, MARKS)) metadata[MARKS] = [...metadata[MARKS] ?? []];
  metadata[MARKS]!.push(mark);
}

function nameOf(context: MemberContext): string {
  assertStandard(context);
  return String(context.name);
}

/** Legacy decorators get a property key, or nothing, where standard ones get their context. */
export function assertStandard(context: unknown): asserts context is object {
  if (typeof context === "object" && context !== null && "metadata" in context) return;
  throw new TypeError(
    "Cannot use Berth's decorators: `experimentalDecorators` replaces the standard ones; remove it from compilerOptions",
  );
}
