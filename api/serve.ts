/**
 * The route table, served: parse, call, answer. Path, query (GET, DELETE) and JSON body (POST) are merged, in this order of
 * precedence, and parsed by the route's schema; what a handler throws becomes an answer in errors.ts.
 */
import type { Context as HonoContext, Hono } from "hono";
import { PlatformError } from "../sdk/errors.ts";
import { type Input, LIMITS, type Output, type Route, type Scope } from "../sdk/protocol.ts";
import type { Caller } from "./auth.ts";
import { parseObject, readText } from "./body.ts";

/** What Hono carries for a request of ours. */
export interface Env {
  Bindings: {
    /** Set by us alone, for requests made on behalf of a running function. */
    readonly caller?: Caller;
  };
  Variables: { requestId: string };
}

/** What a handler may know of a request beside its input. */
export interface Context {
  /** The caller's; empty on routes that need no key. */
  readonly workspace: string;
  readonly scope: Scope | null;
  readonly requestId: string;
  /** `https://host:port` as the caller wrote it. */
  readonly origin: string;
  /** The body's text; empty where there was none. */
  readonly text: string;
  /** Aborts when the caller has gone. */
  readonly signal: AbortSignal;
  header(name: string): string | undefined;
}

/** An answer that differs from what its route usually gives in status, headers or shape. */
export class Reply {
  constructor(
    readonly body: unknown,
    readonly more: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> },
  ) {}
}

export type Handler<R> = (input: Input<R>, context: Context) => Answer<R> | Promise<Answer<R>>;
type Answer<R> = Output<R> | Reply;
/** One handler per route: a missing one does not compile. Annotate the constant: `const handlers: Handlers<typeof routes> = …`. */
export type Handlers<T> = { readonly [K in keyof T]: Handler<T[K]> };

/** Says who calls, or throws; `scope` is what the route needs. */
export type Authorize = (c: HonoContext<Env>, scope: Scope) => Promise<Caller>;

/** Mounts every route of a table. */
export function serve<T extends Readonly<Record<string, Route>>>(
  app: Hono<Env>,
  routes: T,
  handlers: Handlers<T>,
  authorize: Authorize,
): void {
  for (const [name, route] of Object.entries(routes)) {
    const handle = handlers[name] as Handler<Route>;
    app.on(route.method, route.path, (c) => answer(c, route, handle, authorize));
  }
}

async function answer(
  c: HonoContext<Env>,
  route: Route,
  handle: Handler<Route>,
  authorize: Authorize,
): Promise<Response> {
  const caller = route.scope === null ? null : await authorize(c, route.scope);
  const text = route.method === "POST" ? await readText(c.req.raw, LIMITS.bodyBytes) : "";
  const asked = route.method === "POST" ? parseObject(text, c.req.header("content-type")) : c.req.query();
  const input = route.input.parse({ ...asked, ...c.req.param() });
  const output = await handle(input, contextOf(c, caller, text));
  const { body, more } = output instanceof Reply ? output : new Reply(output, {});
  return Response.json(body, { status: more.status ?? route.status, headers: more.headers ?? {} });
}

function contextOf(c: HonoContext<Env>, caller: Caller | null, text: string): Context {
  return {
    workspace: caller?.workspace ?? "",
    scope: caller?.scope ?? null,
    requestId: c.get("requestId"),
    get origin() {
      return new URL(c.req.url).origin;
    },
    text,
    get signal() {
      return c.req.raw.signal;
    },
    header: (name) => c.req.header(name),
  };
}

/** Answers every other method on these paths with 405, and says which are there. */
export function refuseOtherMethods(
  app: Hono<Env>,
  known: readonly { readonly method: string; readonly path: string }[],
): void {
  for (const [path, routes] of Map.groupBy(known, (route) => route.path)) {
    const allowed = routes.map((route) => route.method).join(", ");
    app.all(path, (c) => {
      const message = `Cannot ${c.req.method} ${c.req.path}: this path knows ${allowed}`;
      throw new PlatformError("method_not_allowed", message);
    });
  }
}
