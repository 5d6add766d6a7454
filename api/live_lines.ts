/** Server-sent events: what something prints, from where the reader was, as it comes, until it has ended. */
import type { Context as HonoContext, Next } from "hono";
import type { ContainerLog } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { Bell } from "./bell.ts";
import { decodeCursor, SeqPlace } from "./cursor.ts";
import { frame, KEEP_ALIVE_MS, lastEventId, READ_MAX } from "./live.ts";
import type { Authorize, Env } from "./serve.ts";
import { streamOf } from "./streams.ts";
import { LOOK_MS } from "./wait.ts";

/** What prints, as a request names it. */
export interface Printer<State> {
  readonly id: string;
  readonly wake: "container" | "image";
  readonly cursor: string | undefined;
  /** How it is now; throws when there is none. */
  find(): Promise<State>;
  read(part: { readonly after: number | undefined; readonly limit: number }): Promise<ContainerLog[]>;
  isOver(state: State): boolean;
  /** Whether its last lines may come after its end. */
  readonly linesAreLate: boolean;
}

/** Serves those who ask for `text/event-stream`; the others get the page. */
export function liveLinesRoute<State>(
  deps: ApiDeps,
  authorize: Authorize,
  printerOf: (c: HonoContext<Env>, workspace: string) => Promise<Printer<State>>,
) {
  return async (c: HonoContext<Env>, next: Next): Promise<Response | void> => {
    if (!c.req.header("accept")?.includes("text/event-stream")) return await next();
    const { workspace } = await authorize(c, "read");
    const printer = await printerOf(c, workspace);
    const after = lastEventId(c.req.header("last-event-id")) ?? decodeCursor(printer.cursor, SeqPlace)?.[0];
    return new Response(streamOf(deps.closing, (signal) => lines(deps, printer, after, signal)), {
      headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
    });
  };
}

async function* lines<State>(
  { clock, wakes }: ApiDeps,
  { id, wake, find, read, isOver, linesAreLate }: Printer<State>,
  after: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<string> {
  using bell = new Bell(clock).on(wakes, wake, id);
  let saidAt = clock.now();
  let wasOver = !linesAreLate;
  yield ": live\n\n"; // the reader knows at once that it is connected
  while (!signal.aborted) {
    // Asked before reading: what was said before the end is there when the end is.
    const state = await find();
    const items = await read({ after, limit: READ_MAX });
    after = items.at(-1)?.seq ?? after;
    if (items.length > 0 || clock.now() - saidAt >= KEEP_ALIVE_MS) {
      yield items.length > 0 ? items.map(frame).join("") : ": still here\n\n";
      saidAt = clock.now();
    }
    if (items.length > 0) continue;
    // Where lines are late, it is over when it had ended a look ago and nothing came since.
    const isOverNow = isOver(state);
    if (isOverNow && wasOver) return yield `event: end\ndata: ${JSON.stringify(state)}\n\n`;
    wasOver = isOverNow || !linesAreLate;
    await bell.rung(LOOK_MS, signal);
  }
}
