/**
 * When a cron fires: five or six fields (seconds first) in an IANA time zone. Pure; croner knows the calendar.
 *
 * - A local time that daylight saving skips fires at the end of the gap. One that comes twice fires once, unless the cron names
 *   an interval in its hours or minutes, which goes on through both.
 * - Ticks missed while no scheduler ran fire once, as the latest of them: a burst of stale work helps nobody.
 * - A fire does not wait for the one before it (overlap is allowed; `concurrency` and `scale.max` bound it).
 */
import { Cron } from "croner";
import type { Fire, Schedule } from "./model.ts";

/** What is wrong with a schedule, in words for a person, or null when nothing is. */
export function scheduleProblem(cron: string, timeZone: string, now: number): string | null {
  const fields = cron.trim().split(/\s+/);
  if (fields.length < 5 || fields.length > 6 || cron.trim() === "") {
    return `a cron has five fields (minute hour day month weekday) or six (second first), this has ${
      cron.trim() === "" ? 0 : fields.length
    }`;
  }
  if (!isTimeZone(timeZone)) return `"${timeZone}" is not an IANA time zone such as "Asia/Seoul" or "UTC"`;
  try {
    return nextTick(cron, timeZone, now) === null ? "it names no date that will ever come" : null;
  } catch (error) {
    return (error as Error).message.replace(/^CronPattern: /, "");
  }
}

/** The first tick after `after`, or null when there is none. */
export function nextTick(cron: string, timeZone: string, after: number): number | null {
  return calendar(cron, timeZone).nextRun(new Date(after))?.getTime() ?? null;
}

/** What a due schedule does now: its latest missed tick fires, the earlier ones don't. */
export function fire(schedule: Schedule, now: number): Fire {
  const { cron, timeZone, nextAt } = schedule;
  const latest = calendar(cron, timeZone).previousRuns(1, new Date(now + 1))[0]?.getTime() ?? null;
  return {
    schedule,
    tickAt: latest !== null && latest >= nextAt ? latest : null,
    nextAt: nextTick(cron, timeZone, now),
  };
}

const calendar = (cron: string, timezone: string): Cron =>
  new Cron(cron, { timezone, paused: true, mode: "5-or-6-parts" });

function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false; // an offset such as +09:00 knows no daylight saving
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }) !== null;
  } catch {
    return false;
  }
}
