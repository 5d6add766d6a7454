/** Whether all that was accepted has ended and all that is idle is gone. */
import type { Sessions } from "../database/sessions.ts";
import type { Cloud } from "../cloud.ts";
import type { Fleet } from "../fleet.ts";

/** What is left, in words; empty when nothing is. */
export async function leftovers(
  sessions: Sessions,
  { fleet, cloud }: { readonly fleet: Fleet; readonly cloud: Cloud },
): Promise<string[]> {
  const [row] = await sessions.watch<[Record<string, number>]>`
    select
      (select count(*)::int from ready) as "ranges that wait",
      (select count(*)::int from lease where remaining > 0) as "open leases",
      (select count(*)::int from cancellation) as "wishes to cancel",
      (select count(*)::int from container where exited_at is null) as "live containers",
      (select count(*)::int from part where ended_at is null) as "open parts",
      (select count(*)::int from provision where ended_at is null) as "provisions",
      (select count(*)::int from gpu where milli_free < 1000) as "gpus that are not free"`;
  const running = { "running guests": fleet.guests.length, "rented machines": cloud.size };
  return Object.entries({ ...row, ...running })
    .filter(([, count]) => count > 0)
    .map(([what, count]) => `${count} ${what}`);
}
