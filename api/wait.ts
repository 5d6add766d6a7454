/** Waiting for a call to end, and reading one. */
import { findCalls, hasEnded } from "../scheduler/store/call_reads.ts";
import { PlatformError } from "../sdk/errors.ts";
import { type Call, type CallKey, formatCallId, LIMITS, parseCallId } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { Bell } from "./bell.ts";

/** A lost wake is made good by looking this often. */
export const LOOK_MS = 1_000;

/** Nothing ends sooner without being heard of; looking at once would only be in the way of the call itself. */
const FIRST_LOOK_MS = 20;

/** The call when it has ended within `ms`; null when it has not, the caller has gone, or the platform closes. */
export async function finishedCall(
  deps: ApiDeps,
  { workspace, key, ms, gone }: { workspace: string; key: CallKey; ms: number; gone: AbortSignal },
): Promise<Call | null> {
  const { sql, clock, wakes, closing } = deps;
  const until = clock.now() + ms;
  const enough = AbortSignal.any([gone, closing]);
  using bell = new Bell(clock).on(wakes, "done", key.batch);
  for (let lookMs = FIRST_LOOK_MS;; lookMs = LOOK_MS) {
    const leftMs = until - clock.now();
    if (leftMs <= 0 || enough.aborted) return null;
    const rung = await bell.rung(Math.min(leftMs, lookMs), enough);
    const call = rung || await hasEnded(sql, key) ? await readCall(deps, workspace, key) : null;
    if (call !== null && call.endedAt !== null) return call;
  }
}

/** One call of a workspace, or an error that says that there is none. */
export async function readCall({ sql, clock }: ApiDeps, workspace: string, key: CallKey): Promise<Call> {
  const [call] = await findCalls(sql, new Date(clock.now()), workspace, [key]);
  if (call === undefined) throw noSuchCall(key);
  return call;
}

/** Where the call of an id would lie; an index that no batch can have is not asked for. */
export function callKey(id: string): CallKey {
  const key = parseCallId(id);
  if (key.index >= LIMITS.inputsPerRequest) throw noSuchCall(key);
  return key;
}

export const noSuchCall = (key: CallKey): PlatformError =>
  new PlatformError("not_found", `Cannot find call "${formatCallId(key)}": there is none in this workspace`, {
    field: "id",
  });
