/** The results of a batch as they come: newline-delimited JSON, in order of index as far as they are there. */
import type { Context as HonoContext } from "hono";
import { z } from "zod";
import { readResultLines } from "../scheduler/store/results.ts";
import { BatchId } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { Bell } from "./bell.ts";
import { knownBatch } from "./calls.ts";
import type { Authorize, Env } from "./serve.ts";
import { streamOf } from "./streams.ts";
import { Unsent } from "./unsent.ts";
import { LOOK_MS } from "./wait.ts";

const Input = z.object({ batch: BatchId, from: z.coerce.number().int().min(0).max(2 ** 31 - 1).default(0) });

/** Results read at a time: bounds what one slow reader holds in memory. */
const READ_MAX = 1_000;
const KEEP_ALIVE_MS = 10_000;

/** `GET /v1/batches/{batch}/results?from=`. */
export function resultsRoute(
  deps: ApiDeps,
  authorize: Authorize,
): (c: HonoContext<Env>) => Promise<Response> {
  return async (c) => {
    const { workspace } = await authorize(c, "read");
    const { batch: id, from } = Input.parse({ ...c.req.query(), ...c.req.param() });
    const { batch, size } = await knownBatch(deps, workspace, id);
    const body = streamOf(deps.closing, (signal) => resultLines(deps, batch, new Unsent(from, size), signal));
    return new Response(body, {
      headers: { "content-type": "application/x-ndjson", "cache-control": "no-store" },
    });
  };
}

async function* resultLines(
  deps: ApiDeps,
  batch: number,
  unsent: Unsent,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const { sql, clock, wakes } = deps;
  using bell = new Bell(clock).on(wakes, "done", batch);
  let saidAt = clock.now();
  while (unsent.count > 0 && !signal.aborted) {
    const { indexes, lines } = await readResultLines(sql, batch, unsent.ranges(), READ_MAX);
    unsent.remove(indexes);
    if (indexes.length > 0 || clock.now() - saidAt >= KEEP_ALIVE_MS) {
      yield indexes.length > 0 ? lines : "[]\n";
      saidAt = clock.now();
    }
    if (indexes.length < READ_MAX && unsent.count > 0) await bell.rung(LOOK_MS, signal);
  }
}
