/** What functions lack, as claims: new containers, gangs, and ranks that gangs have lost. Pure. */
import type { GpuChoice } from "../sdk/gpu.ts";
import { choices } from "./fit.ts";
import { startsAllowed } from "./scale.ts";
import type { Unit } from "./gangs.ts";
import type { Fn, Need, QueueLevel } from "./model.ts";
import { type Claim, IDLE_PRIORITY, levelAt, queueOf } from "./order.ts";
import { type Account, type Amount, amountOf, inGpus, times } from "./share.ts";
import type { Team } from "./team.ts";

/** A claim, and what is to be placed for it, all or none. */
export interface Asking extends Claim {
  readonly fn: Fn;
  /** How many containers: one, all of a gang, or those of the ranks that it lost. */
  readonly count: number;
  /** The gang that lost ranks. */
  readonly broken: Unit | null;
  /** Whether it takes the place of a container whose node drains. */
  readonly replaces: boolean;
}

/** One for each container or gang that a crew lacks, and one for each gang that lacks ranks. */
export function claimsOf(team: Team, account: Account, now: number): Asking[] {
  const { crew: { fn, staff, ready, leaving, lacking, spare } } = team;
  const broken = team.staff.filter(({ whole, missing }) =>
    missing.length > 0 && !spare.some(({ container }) => container.id === whole.id)
  );
  if (lacking + broken.length === 0) return [];
  const queue = queueOf(fn), starting = staff.length - ready;
  const one = amountOfOne(fn.need);
  const claim = (nth: number, before: number, unit: Unit | null): Asking => {
    const count = unit === null ? fn.nodes : unit.missing.length;
    const rank = rankOf(fn, levelAt(queue, before * fn.scale.targetConcurrency));
    return {
      ...rank,
      fn,
      functionId: fn.id,
      account,
      amount: times(count, one),
      nth,
      count,
      broken: unit,
      replaces: team.moving.length > 0,
    };
  };
  const mayRegang = broken.length > 0 && startsAllowed(fn, 0, now) > 0;
  return [
    ...(mayRegang ? broken.map((unit, i) => claim(i, i, unit)) : []),
    ...Array.from({ length: lacking }, (_, i) => claim(staff.length + leaving + i, starting + i, null)),
  ];
}

/** The oldest of many calls is always old: what counts is since when nobody serves them. */
const rankOf = ({ lastExitAt }: Fn, level: QueueLevel | null): Pick<Claim, "priority" | "since"> =>
  level === null
    ? { priority: IDLE_PRIORITY, since: Infinity }
    : { priority: level.priority, since: Math.max(level.since, lastExitAt ?? 0) };

/** The least that one container can take. */
function amountOfOne(need: Need): Amount {
  return choices(need).map((choice) => amountOf(need, choice)).reduce((a, b) =>
    inGpus(b) < inGpus(a) ? b : a
  );
}

/** The choices of a need that may be had without too much of a workspace. */
export function affordable(
  { fn: { need }, count }: Asking,
  excess: (amount: Amount) => string | null,
): Need | null {
  const may = (choice: GpuChoice | null) => excess(times(count, amountOf(need, choice))) === null;
  if (need.gpu.length === 0) return may(null) ? need : null;
  const gpu = need.gpu.filter(may);
  return gpu.length === 0 ? null : gpu.length === need.gpu.length ? need : { ...need, gpu };
}

export function startReason({ fn: { demand, scale }, since, broken, replaces }: Asking): string {
  const { queued, requestsHeld, leased, requests } = demand;
  if (broken !== null) return "takes the place of a rank that its gang lost";
  if (since === Infinity && replaces) return "takes the place of one whose node drains";
  if (since !== Infinity && queued > 0) return queued === 1 ? "1 call waits" : `${queued} calls wait`;
  if (requestsHeld > 0) return requestsHeld === 1 ? "1 request waits" : `${requestsHeld} requests wait`;
  if (leased + requests + queued > 0) return "spare for the present load";
  return scale.min > 0 ? "kept by scale.min" : "work is expected";
}
