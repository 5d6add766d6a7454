/** When a function is called without anybody calling it. Pure. */
import type { Json } from "./protocol/primitives.ts";

/** A cron expression and where its clock hangs. Made by {@link Cron}. */
export interface Schedule {
  readonly cron: string;
  readonly timeZone: string;
  /** What each call gets as its input. */
  readonly input: Json;
}

/** Choices of {@link Cron}. */
export interface CronOptions {
  /**
   * IANA name of the zone in which the expression is read.
   * @default "UTC"
   */
  readonly timeZone?: string;
  /**
   * Input of each call.
   * @default null
   */
  readonly input?: Json;
}

/**
 * A schedule from five cron fields (minute, hour, day, month, weekday), or six with seconds first.
 *
 * @example
 * ```ts
 * import { App, Cron } from "berth";
 *
 * const app = new App("reports");
 * export const nightly = app.function({ schedule: Cron("0 3 * * *", { timeZone: "Asia/Seoul" }) }, () => "done");
 * ```
 */
export function Cron(cron: string, { timeZone = "UTC", input = null }: CronOptions = {}): Schedule {
  if (typeof cron !== "string") {
    throw new TypeError("Cannot make a schedule: the cron expression must be a text");
  }
  return { cron, timeZone, input };
}

/** Schedules as users may write them. */
export type Schedules = Schedule | string | readonly (Schedule | string)[];

/** Every schedule of an option, in full. */
export function schedulesOf(schedules: Schedules | undefined): Schedule[] {
  if (schedules === undefined) return [];
  const list = Array.isArray(schedules) ? schedules : [schedules];
  return list.map((one: Schedule | string) => typeof one === "string" ? Cron(one) : one);
}
