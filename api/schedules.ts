/** Schedules: listing, pausing, resuming, and firing one by hand. */
import { nextTick } from "../scheduler/schedule.ts";
import {
  findSchedule,
  listSchedules,
  pauseSchedule,
  resumeSchedule,
  type ScheduleRow,
  toSchedule,
} from "../scheduler/store/schedules.ts";
import { PlatformError } from "../sdk/errors.ts";
import { Priority, type Routes } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { created } from "./create_calls.ts";
import { decodeCursor, IdPlace, pageFrom } from "./cursor.ts";
import type { Handlers } from "./serve.ts";

type ScheduleRoutes = Pick<Routes, "listSchedules" | "pauseSchedule" | "resumeSchedule" | "runSchedule">;

export function scheduleHandlers(deps: ApiDeps): Handlers<ScheduleRoutes> {
  const { sql, clock, wakes } = deps;
  return {
    async listSchedules({ limit, cursor, app }, { workspace }) {
      const after = decodeCursor(cursor, IdPlace)?.[0];
      const rows = await listSchedules(sql, { workspace, app, after, limit: limit + 1 });
      return pageFrom(rows.map(toSchedule), limit, (last) => [last.id]);
    },

    async pauseSchedule({ id }, { workspace }) {
      await known(deps, workspace, id);
      await pauseSchedule(sql, new Date(clock.now()), id);
      return toSchedule(await known(deps, workspace, id));
    },

    async resumeSchedule({ id }, { workspace }) {
      const { cron, timeZone } = await known(deps, workspace, id);
      const next = nextTick(cron, timeZone, clock.now());
      await resumeSchedule(sql, id, next === null ? null : new Date(next));
      wakes.wake("tick");
      return toSchedule(await known(deps, workspace, id));
    },

    async runSchedule({ id }, { workspace }) {
      return created(await fireNow(deps, workspace, await known(deps, workspace, id)), 1);
    },
  };
}

async function known({ sql }: ApiDeps, workspace: string, id: string): Promise<ScheduleRow> {
  const row = await findSchedule(sql, workspace, id);
  if (row !== undefined) return row;
  throw new PlatformError("not_found", `Cannot find schedule "${id}": there is none in this workspace`, {
    field: "id",
  });
}

/** A fire by hand is a tick of its own: this instant, or the next free one when two people fire at once. */
async function fireNow(deps: ApiDeps, workspace: string, schedule: ScheduleRow): Promise<number> {
  const { functionId, method, input, id } = schedule;
  for (let tickAt = deps.clock.now();; tickAt++) {
    const batch = await deps.enqueue.submit({
      workspaceId: workspace,
      functionId,
      method,
      inputs: JSON.stringify([input]),
      size: 1,
      priority: Priority.parse(undefined),
      tags: {},
      scheduleId: id,
      tickAt: new Date(tickAt),
    });
    if (batch !== null) return batch;
  }
}
