/** Why a call waits, for people. Pure. */
import type { Call } from "../protocol/calls.ts";
import { count, relativeTime } from "./words.ts";

/** `a container is starting, behind 12 calls, should start in 3m` */
export function waitText({ reason, position, eta }: NonNullable<Call["waiting"]>, now: number): string {
  const place = position === 0 ? "" : `, behind ${count(position, "call")}`;
  return `${reason}${place}${eta === null ? "" : `, should start ${relativeTime(eta, now)}`}`;
}
