/**
 * How much longer calls wait: the slots that will work on a function's queue, when they are there, and how long a call takes. Pure.
 * From these whoever reads a call tells its own time: `startsAt + place in the queue ÷ slots × call`.
 */
import { deadline, LEAVE_MS } from "./leave.ts";
import type { Container, Fn, Outlook, Wait } from "./model.ts";
import type { Prospect } from "./reasons.ts";
import { retryAt } from "./scale.ts";

/** From the start of a container to ready, when none of its function has ever become ready. */
const START_MS = 2_000;
/** A container starts one tick after there is room for it. */
const TICK_MS = 500;
/** Words that differ only in their numbers, and times, are not said again sooner than this. */
const REPEAT_MS = 2_000;
/** A time that moved by less than this part of the wait is the same time. */
const SLACK = 0.25;

type Times = Pick<Wait, "slots" | "callMs" | "startsMs">;

export function outlookOf(prospect: Prospect, now: number): Times {
  const { crew: { fn, staff }, starting, obstacle } = prospect;
  const ready = staff.filter((one) => one.observed === "ready").length;
  const units = ready + starting + (obstacle?.kind === "soon" ? 1 : 0);
  return {
    slots: units === 0 ? null : units * fn.scale.concurrency,
    callMs: fn.demand.callMs,
    startsMs: ready > 0 ? 0 : startsIn(prospect, now),
  };
}

function startsIn({ crew: { fn, staff }, starting, obstacle }: Prospect, now: number): number | null {
  const startMs = fn.startMs ?? START_MS;
  if (starting > 0) {
    const first = staff.reduce((at, one) => Math.min(at, one.createdAt), now);
    return Math.max(0, first + startMs - now);
  }
  if (fn.startFailures !== null) return Math.max(0, retryAt(fn.startFailures) - now) + startMs;
  return obstacle === undefined || obstacle.at === null
    ? null
    : Math.max(0, obstacle.at - now) + TICK_MS + startMs;
}

/** When a container that leaves should have left; null when that is not known. */
export function leavesAt(container: Container, fn: Fn | undefined, now: number): number | null {
  if (container.leased === 0) return now + LEAVE_MS / 4;
  const end = deadline(container, fn)?.at ?? Infinity;
  const callMs = fn?.demand.callMs ?? null;
  const at = Math.min(container.preemptAt ?? Infinity, callMs === null ? Infinity : now + callMs, end);
  return at === end && container.preemptAt === null ? null : at;
}

/** Whether what a person reads has changed enough to be written again. */
export function isNews(reason: string | null, times: Times, fn: Fn, now: number): boolean {
  const { waiting, outlook } = fn;
  if (reason === null || waiting === null || outlook === null) return reason !== waiting;
  if (withoutNumbers(reason) !== withoutNumbers(waiting)) return true;
  if (now - outlook.saidAt < REPEAT_MS) return false;
  return reason !== waiting || hasMoved(times, outlook, now);
}

const withoutNumbers = (text: string): string => text.replace(/\d+/g, "#");

function hasMoved({ slots, callMs, startsMs }: Times, said: Outlook, now: number): boolean {
  const was = said.startsAt === null ? null : Math.max(0, said.startsAt - now);
  const differs = (a: number | null, b: number | null, slack: number) =>
    a === null || b === null ? a !== b : Math.abs(a - b) > slack;
  return differs(startsMs, was, Math.max(1_000, SLACK * (startsMs ?? 0))) ||
    differs(slots, said.slots, SLACK * (slots ?? 0)) ||
    differs(callMs, said.callMs, SLACK * (callMs ?? 0));
}
