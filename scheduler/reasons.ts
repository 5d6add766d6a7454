/** Why the calls and requests of a function wait, in words for a person. Pure. */
import type { Crew } from "./crew.ts";
import type { Staffing } from "./draft.ts";
import { isNews, outlookOf } from "./outlook.ts";
import type { Wait } from "./model.ts";
import type { PoolPlan } from "./pools.ts";
import { retryAt } from "./scale.ts";
import type { Team } from "./team.ts";

/** What placing found out about a function that lacks containers. */
export interface Obstacle {
  /** `soon`: room is on its way; `limited`: its workspace may not have more; `blocked`: there is no room. */
  readonly kind: "soon" | "limited" | "blocked";
  readonly reason: string;
  /** When the room should be there; null when that is not known. */
  readonly at: number | null;
}

/** What is to be said of a team's calls that wait, when it is not what was said before. */
export function news(
  { crew, staff }: Team,
  { starting, obstacles }: Pick<Staffing, "starting" | "obstacles">,
  { reasons, expected }: Pick<PoolPlan, "reasons" | "expected">,
  now: number,
): Wait[] {
  const { id } = crew.fn, found = obstacles.get(id), grows = reasons.get(id);
  const broken = staff.filter(({ staying, gang }) => gang !== null && staying.length < gang.size).length;
  const prospect: Prospect = {
    crew,
    broken,
    isMending: staff.some(({ whole, gang }) =>
      whole.observed !== "ready" && gang !== null && gang.brokenAt !== null
    ),
    starting: crew.staff.length - crew.ready - broken + (starting.get(id) ?? 0),
    obstacle: found?.kind === "blocked" && grows !== undefined
      ? grown(found, grows, expected.get(id))
      : found,
  };
  const reason = waitingReason(prospect, now), outlook = outlookOf(prospect, now);
  if (!isNews(reason, outlook, crew.fn, now)) return [];
  return [{ functionId: id, reason, ...(reason === null ? NO_OUTLOOK : outlook) }];
}

/** With what pools say to it. */
const grown = (found: Obstacle, said: string, expectedAt: number | undefined): Obstacle =>
  expectedAt === undefined
    ? { ...found, reason: `${found.reason}; ${said}` }
    : { ...found, reason: said, at: expectedAt };

const NO_OUTLOOK = { slots: null, callMs: null, startsMs: null };

/** What a tick does for a function. */
export interface Prospect {
  readonly crew: Crew;
  /** Containers or gangs on their way, those of this tick included. */
  readonly starting: number;
  /** Gangs that lack a rank. */
  readonly broken: number;
  /** Whether some lacked a rank, and are not ready again. */
  readonly isMending: boolean;
  readonly obstacle: Obstacle | undefined;
}

/** With a container ready, a call that waited for less than this is about to be claimed and needs no reason. */
const SOON_MS = 1_000;

/** The reason, or null when nothing waits. */
export function waitingReason(prospect: Prospect, now: number): string | null {
  const { crew, starting, obstacle } = prospect;
  const { queued, keyed, requestsHeld, queuedSince, heldSince } = crew.fn.demand;
  if (queued + keyed === 0 && requestsHeld === 0) return null;
  if (crew.fn.removed) return "the function was removed";
  if (queued === 0 && requestsHeld === 0) return waitsForKey(keyed);
  if (crew.ready === 0 && crew.fn.startFailures !== null) return failing(prospect);
  if (obstacle !== undefined && starting === 0) return hindered(prospect, obstacle);
  if (starting > 0) return isStarting(prospect);
  return now - Math.min(queuedSince ?? now, heldSince ?? now) < SOON_MS ? null : busy(crew);
}

const waitsForKey = (calls: number): string =>
  calls === 1 ? "1 call waits for its concurrency key" : `${calls} calls wait for their concurrency key`;

function failing({ crew: { fn }, starting, obstacle }: Prospect): string {
  const { count, message } = fn.startFailures!;
  const next = starting > 0
    ? "trying again"
    : obstacle !== undefined
    ? `for another try: ${obstacle.reason}`
    : `next try at ${new Date(retryAt(fn.startFailures!)).toISOString()}`;
  return `the last ${count === 1 ? "start" : `${count} starts`} failed: ${brief(message)}; ${next}`;
}

const LINES = 4;
const LINE_LENGTH = 200;

/** What went wrong, and the last that was printed before. */
function brief(message: string): string {
  const [first, ...rest] = message.split("\n")
    .map((line) => line.length <= LINE_LENGTH ? line : `${line.slice(0, LINE_LENGTH)}…`);
  return [first, ...(rest.length <= LINES ? rest : ["…", ...rest.slice(-LINES)])].join("\n");
}

function isStarting({ crew: { fn }, isMending }: Prospect): string {
  if (fn.nodes === 1) return "a container is starting";
  return isMending ? "a gang gets another container for a rank that it lost" : "a gang is starting";
}

function hindered({ crew, broken }: Prospect, { reason }: Obstacle): string {
  if (broken > 0) return `a gang lost a rank; for another: ${reason}`;
  const { staff } = crew;
  return staff.length === 0 ? reason : `${are(crew, staff.length)} busy; for another: ${reason}`;
}

function busy(crew: Crew): string {
  const { fn: { scale: { max } }, staff } = crew;
  return `${are(crew, staff.length)} busy${staff.length >= max ? ` and scale.max is ${max}` : ""}`;
}

function are({ fn }: Crew, n: number): string {
  const what = fn.nodes === 1 ? "container" : "gang";
  return n === 1 ? `1 ${what} is` : `${n} ${what}s are`;
}
