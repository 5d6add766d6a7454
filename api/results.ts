/** The results of a batch as they come: newline-delimited JSON, in order of index as far as they are there. */
import type { Context as HonoContext } from "hono";
import { z } from "zod";
import { type Range, readResultLines } from "../scheduler/store/results.ts";
import { BatchId } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { Bell } from "./bell.ts";
import { knownBatch } from "./calls.ts";
import type { Authorize, Env } from "./serve.ts";
import { streamOf } from "./streams.ts";
import { LOOK_MS } from "./wait.ts";

const Input = z.object({ batch: BatchId, from: z.coerce.number().int().min(0).max(2 ** 31 - 1).default(0) });

/** Results read at a time: bounds what one slow reader holds in memory. */
const READ_MAX = 1_000;
const KEEP_ALIVE_MS = 10_000;

/** `GET /v1/batches/{batch}/results?from=`. */
export function resultsRoute(deps: ApiDeps, authorize: Authorize): (c: HonoContext<Env>) => Promise<Response> {
  return async (c) => {
    const { workspace } = await authorize(c, "read");
    const { batch: id, from } = Input.parse({ ...c.req.query(), ...c.req.param() });
    const { batch, size } = await knownBatch(deps, workspace, id);
    const body = streamOf(deps.closing, (signal) => resultLines(deps, batch, new Unsent(from, size), signal));
    return new Response(body, { headers: { "content-type": "application/x-ndjson", "cache-control": "no-store" } });
  };
}

async function* resultLines(deps: ApiDeps, batch: number, unsent: Unsent, signal: AbortSignal): AsyncGenerator<string> {
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

/** Which indexes of a batch one connection has not had yet. */
export class Unsent {
  readonly #sent: Uint8Array;
  #low: number;
  #count: number;

  constructor(from: number, size: number) {
    this.#sent = new Uint8Array(size);
    this.#low = Math.min(from, size);
    this.#count = size - this.#low;
  }

  get count(): number {
    return this.#count;
  }

  remove(indexes: readonly number[]): void {
    for (const index of indexes) this.#sent[index] = 1;
    this.#count -= indexes.length;
    while (this.#sent[this.#low] === 1) this.#low++;
  }

  /** The gaps, so that what was sent is not read again, however long one straggler takes. */
  ranges(): Range[] {
    const ranges: Range[] = [];
    for (let lo = this.#low; lo < this.#sent.length;) {
      const end = this.#sent.indexOf(1, lo);
      const hi = end === -1 ? this.#sent.length : end;
      if (hi > lo) ranges.push([lo, hi]);
      const next = this.#sent.indexOf(0, hi);
      lo = next === -1 ? this.#sent.length : next;
    }
    return ranges;
  }
}
