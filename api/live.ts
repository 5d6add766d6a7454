/** Server-sent events: the logs and events of a call, from where the reader was, as they come, until the call has ended. */
import type { Context as HonoContext, Next } from "hono";
import { hasEnded } from "../scheduler/store/call_reads.ts";
import { listEvents, listLogs, type Part } from "../scheduler/store/story.ts";
import { type Sql } from "../scheduler/store/connect.ts";
import { PlatformError } from "../sdk/errors.ts";
import { type CallKey, routes } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { Bell } from "./bell.ts";
import { knownCall } from "./calls.ts";
import { decodeCursor, SeqPlace } from "./cursor.ts";
import type { Authorize, Env } from "./serve.ts";
import { streamOf } from "./streams.ts";
import { LOOK_MS, readCall } from "./wait.ts";

type Item = { readonly seq: number };
type List = (sql: Sql, key: CallKey, part: Part) => Promise<readonly Item[]>;

/** Items read at a time: bounds what one slow reader holds in memory. */
export const READ_MAX = 500;
export const KEEP_ALIVE_MS = 10_000;

/** Serves those who ask for `text/event-stream` on the path of a page; the others get the page. */
export function liveRoute(deps: ApiDeps, authorize: Authorize, kind: "logs" | "events") {
  const list = kind === "logs" ? listLogs : listEvents;
  return async (c: HonoContext<Env>, next: Next): Promise<Response | void> => {
    if (!c.req.header("accept")?.includes("text/event-stream")) return await next();
    const { workspace } = await authorize(c, "read");
    const { id, cursor } = routes.listLogs.input.parse({ ...c.req.query(), ...c.req.param() });
    const key = await knownCall(deps, workspace, id);
    const after = lastEventId(c.req.header("last-event-id")) ?? decodeCursor(cursor, SeqPlace)?.[0];
    const body = streamOf(deps.closing, (signal) => story(deps, { workspace, key, list, after }, signal));
    return new Response(body, {
      headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
    });
  };
}

interface Telling {
  readonly workspace: string;
  readonly key: CallKey;
  readonly list: List;
  readonly after: number | undefined;
}

async function* story(
  deps: ApiDeps,
  { workspace, key, list, after }: Telling,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const { sql, clock, wakes } = deps;
  using bell = new Bell(clock).on(wakes, "call", key.batch).on(wakes, "done", key.batch);
  let saidAt = clock.now();
  yield ": live\n\n"; // the reader knows at once that it is connected
  while (!signal.aborted) {
    // Asked before reading: what a call said before it ended is there when its end is.
    const ended = await hasEnded(sql, key);
    const items = await list(sql, key, { after, limit: READ_MAX });
    after = items.at(-1)?.seq ?? after;
    if (items.length > 0 || clock.now() - saidAt >= KEEP_ALIVE_MS) {
      yield items.length > 0 ? items.map(frame).join("") : ": still here\n\n";
      saidAt = clock.now();
    }
    if (items.length === READ_MAX) continue;
    if (ended) return yield `event: end\ndata: ${JSON.stringify(await readCall(deps, workspace, key))}\n\n`;
    await bell.rung(LOOK_MS, signal);
  }
}

export const frame = (item: Item): string => `id: ${item.seq}\ndata: ${JSON.stringify(item)}\n\n`;

export function lastEventId(header: string | undefined): number | undefined {
  if (header === undefined || header === "") return undefined;
  const seq = Number(header);
  if (Number.isSafeInteger(seq) && seq >= 0) return seq;
  const message = "Cannot go on from the header Last-Event-ID: expected the `id` of an event of this stream";
  throw new PlatformError("invalid_request", message, { field: "last-event-id" });
}
