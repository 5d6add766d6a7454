/** Server-sent events: what a build prints, from where the reader was, as it comes, until it has ended. */
import type { Context as HonoContext, Next } from "hono";
import { listBuildLogs } from "../scheduler/store/builds.ts";
import { routes } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { Bell } from "./bell.ts";
import { decodeCursor, SeqPlace } from "./cursor.ts";
import { knownImage } from "./images.ts";
import { frame, KEEP_ALIVE_MS, lastEventId, READ_MAX } from "./live.ts";
import type { Authorize, Env } from "./serve.ts";
import { streamOf } from "./streams.ts";
import { LOOK_MS } from "./wait.ts";

/** Serves those who ask for `text/event-stream`; the others get the page. */
export function liveImageRoute(deps: ApiDeps, authorize: Authorize) {
  return async (c: HonoContext<Env>, next: Next): Promise<Response | void> => {
    if (!c.req.header("accept")?.includes("text/event-stream")) return await next();
    const { workspace } = await authorize(c, "read");
    const { image, cursor } = routes.listImageLogs.input.parse({ ...c.req.query(), ...c.req.param() });
    const { id } = await knownImage(deps, workspace, image);
    const after = lastEventId(c.req.header("last-event-id")) ?? decodeCursor(cursor, SeqPlace)?.[0];
    const body = streamOf(deps.closing, (signal) => lines(deps, { workspace, id, after }, signal));
    return new Response(body, {
      headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
    });
  };
}

interface Told {
  readonly workspace: string;
  readonly id: string;
  readonly after: number | undefined;
}

async function* lines(
  deps: ApiDeps,
  { workspace, id, after }: Told,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const { sql, clock, wakes } = deps;
  using bell = new Bell(clock).on(wakes, "image", id);
  let saidAt = clock.now();
  yield ": live\n\n"; // the reader knows at once that it is connected
  while (!signal.aborted) {
    // Asked before reading: what a build said before it ended is there when its end is.
    const image = await knownImage(deps, workspace, id);
    const items = await listBuildLogs(sql, id, { after, limit: READ_MAX });
    after = items.at(-1)?.seq ?? after;
    if (items.length > 0 || clock.now() - saidAt >= KEEP_ALIVE_MS) {
      yield items.length > 0 ? items.map(frame).join("") : ": still here\n\n";
      saidAt = clock.now();
    }
    if (items.length === READ_MAX) continue;
    if (image.state !== "queued" && image.state !== "building") {
      return yield `event: end\ndata: ${JSON.stringify(image)}\n\n`;
    }
    await bell.rung(LOOK_MS, signal);
  }
}
