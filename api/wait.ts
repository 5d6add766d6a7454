/** Waiting for a call to end, and reading one. */
import { findCalls, hasEnded } from "../scheduler/store/call_reads.ts";
import { PlatformError } from "../sdk/errors.ts";
import { type Call, type CallKey, formatCallId, LIMITS, parseCallId } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { Bell } from "./bell.ts";

/** A lost wake is made good by looking this often. */
export const LOOK_MS = 1_000;

/** True when the call has ended within `ms`; false when it has not, the caller has gone, or the platform closes. */
export async function waitForEnd(deps: ApiDeps, key: CallKey, ms: number, gone: AbortSignal): Promise<boolean> {
  const { sql, clock, wakes, closing } = deps;
  const until = clock.now() + ms;
  const enough = AbortSignal.any([gone, closing]);
  using bell = new Bell(clock).on(wakes, "done", key.batch);
  while (!await hasEnded(sql, key)) {
    const left = until - clock.now();
    if (left <= 0 || enough.aborted) return false;
    await bell.rung(Math.min(left, LOOK_MS), enough);
  }
  return true;
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
  new PlatformError("not_found", `Cannot find call "${formatCallId(key)}": there is none in this workspace`, { field: "id" });
