/** Calls and batches: reading and cancelling. Creating them is in create_calls.ts. */
import { listAttempts } from "../scheduler/store/attempts.ts";
import { findCallKeys } from "../scheduler/store/call_list.ts";
import { findBatch, findCalls, hasCall } from "../scheduler/store/call_reads.ts";
import { cancelAll, cancelCall } from "../scheduler/store/calls.ts";
import { listEvents, listLogs } from "../scheduler/store/story.ts";
import { NOTHING, wakeTouched } from "../scheduler/store/touched.ts";
import { PlatformError } from "../sdk/errors.ts";
import { type CallKey, parseBatchId, parseCallId, type Routes } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { createCalls } from "./create_calls.ts";
import { AttemptPlace, CallPlace, decodeCursor, pageFrom, SeqPlace } from "./cursor.ts";
import type { Handlers } from "./serve.ts";
import { callKey, noSuchCall, readCall } from "./wait.ts";

type CallRoutes = Pick<
  Routes,
  | "createCalls"
  | "listCalls"
  | "getCall"
  | "listAttempts"
  | "listLogs"
  | "listEvents"
  | "cancelCall"
  | "cancelBatch"
>;

export function callHandlers(deps: ApiDeps): Handlers<CallRoutes> {
  const { sql, clock, wakes } = deps;
  const now = () => new Date(clock.now());
  return {
    createCalls: (input, context) => createCalls(deps, input, context),

    async listCalls({ limit, cursor, app, function: fn, state, tag }, { workspace }) {
      const place = decodeCursor(cursor, CallPlace);
      const keys = await findCallKeys(sql, {
        workspace,
        app,
        function: fn,
        state,
        tag: tagOf(tag),
        after: place && { batch: place[0], index: place[1] },
        limit: limit + 1,
      });
      const { items, ...more } = pageFrom(keys, limit, ({ batch, index }) => [batch, index]);
      return { items: await findCalls(sql, now(), workspace, items), ...more };
    },

    getCall: ({ id }, { workspace }) => readCall(deps, workspace, callKey(id)),

    async listAttempts({ id, limit, cursor }, { workspace }) {
      const key = await knownCall(deps, workspace, id);
      const after = decodeCursor(cursor, AttemptPlace)?.[0];
      return pageFrom(
        await listAttempts(sql, key, { after, limit: limit + 1 }),
        limit,
        (last) => [last.attempt],
      );
    },

    async listLogs({ id, limit, cursor }, { workspace }) {
      const key = await knownCall(deps, workspace, id);
      const after = decodeCursor(cursor, SeqPlace)?.[0];
      return pageFrom(await listLogs(sql, key, { after, limit: limit + 1 }), limit, (last) => [last.seq]);
    },

    async listEvents({ id, limit, cursor }, { workspace }) {
      const key = await knownCall(deps, workspace, id);
      const after = decodeCursor(cursor, SeqPlace)?.[0];
      return pageFrom(await listEvents(sql, key, { after, limit: limit + 1 }), limit, (last) => [last.seq]);
    },

    async cancelCall({ id }, { workspace }) {
      const key = await knownCall(deps, workspace, id);
      const done = await sql.begin((tx) => cancelCall(tx, now(), key));
      if (done === "ended") wakeTouched(wakes, { ...NOTHING, batchIds: [key.batch] });
      else if (done !== null) wakeTouched(wakes, { ...NOTHING, nodeIds: [done.nodeId] });
      return await readCall(deps, workspace, key);
    },

    async cancelBatch({ batch }, { workspace }) {
      const id = await knownBatch(deps, workspace, batch);
      const { calls, batchIds, nodeIds } = await sql.begin((tx) =>
        cancelAll(tx, now(), { batchId: id.batch }, null)
      );
      wakeTouched(wakes, { ...NOTHING, batchIds, nodeIds });
      return { batch, cancelled: calls };
    },
  };
}

/** The key of a call that is this workspace's. */
export async function knownCall({ sql }: ApiDeps, workspace: string, id: string): Promise<CallKey> {
  const key = callKey(id);
  if (await hasCall(sql, workspace, key)) return key;
  throw noSuchCall(parseCallId(id));
}

export async function knownBatch(
  { sql }: ApiDeps,
  workspace: string,
  id: string,
): Promise<{ batch: number; size: number }> {
  const batch = parseBatchId(id);
  const found = await findBatch(sql, workspace, batch);
  if (found !== undefined) return { batch, size: found.size };
  throw new PlatformError("not_found", `Cannot find batch "${id}": there is none in this workspace`, {
    field: "batch",
  });
}

/** `key` or `key:value`. */
function tagOf(text: string | undefined): { key: string; value?: string } | undefined {
  if (text === undefined) return undefined;
  const colon = text.indexOf(":");
  return colon === -1 ? { key: text } : { key: text.slice(0, colon), value: text.slice(colon + 1) };
}
