/** Why calls wait although pools could grow, in words for a person. Pure. */
import { formatDuration } from "../sdk/duration.ts";
import { isGrowable, type Market, retryAt } from "./market.ts";
import type { Fn, Pool, Provision } from "./model.ts";
import type { Procurement } from "./procure.ts";
import { blanks, suits } from "./trial.ts";
import { whyNot } from "./why_not.ts";

/** A provider takes up what is asked within a second or two. One that has not by then is not running. */
const UNHEARD_MS = 10_000;

/** By function: the node that it waits for, or why it gets none. Nothing when no pool could ever grow. */
export function poolReasons(
  waiting: readonly Fn[],
  { served, unmet }: Procurement,
  markets: readonly Market[],
  now: number,
): Map<number, string> {
  if (!markets.some(({ pool }) => isGrowable(pool))) return new Map();
  return new Map(waiting.flatMap((fn) => {
    const node = served.get(fn.id);
    if (node !== undefined) return [[fn.id, onItsWay(node, markets, now)]];
    return unmet.has(fn.id) && !isBound(fn) ? [[fn.id, refusals(fn, markets)]] : [];
  }));
}

/** One of its volumes is where no other node will ever be. */
const isBound = ({ need }: Fn): boolean =>
  need.volumes.some(({ id, storage, home }) => id === null || storage === "node" && home !== null);

function onItsWay(id: string, markets: readonly Market[], now: number): string {
  for (const { pool, coming } of markets) {
    const provision = coming.find((one) => one.id === id);
    if (provision !== undefined) return starting(pool, provision, now);
  }
  const { pool } = markets.find(({ pool }) => id.slice(0, id.search(/[#+]/)) === pool.name)!;
  return starting(pool, { state: "requested", requestedAt: now }, now);
}

function starting(
  pool: Pool,
  { state, requestedAt }: Pick<Provision, "state" | "requestedAt">,
  now: number,
): string {
  const unheard = state === "requested" && now - requestedAt >= UNHEARD_MS
    ? ", and no provider has taken it up"
    : "";
  return `a node of pool ${pool.name} is starting (asked for at ${new Date(requestedAt).toISOString()}, ` +
    `up to ${formatDuration(pool.provisionTimeoutMs)}${unheard})`;
}

/** What each pool says whose nodes would do; when there is none, what the nodes of all would lack. */
function refusals(fn: Fn, markets: readonly Market[]): string {
  const homeless = fn.need.volumes.find(({ storage, home }) => storage === "node" && home === null);
  if (homeless !== undefined) {
    return `no pool can provide it: nodes of pools come and go, and volume "${homeless.name}" is to lie on one that stays`;
  }
  const offers = markets.flatMap(({ pool }) => isGrowable(pool) ? [{ pool, room: fn.nodes }] : []);
  const suitable = offers.filter((offer) => suits(fn, offer)).map(({ pool }) => pool.name);
  if (suitable.length === 0) {
    return `no pool can provide it: ${whyNot(fn.need, blanks(offers.map(({ pool }) => pool.name), offers))}`;
  }
  return markets.filter(({ pool }) => suitable.includes(pool.name)).map((market) => refusal(fn, market)).join(
    "; ",
  );
}

function refusal({ nodes }: Fn, { pool, live, coming, leaving }: Market): string {
  const just = leaving.release.find(({ event }) => event === "fail");
  if (just !== undefined) return `pool ${pool.name} failed to provide a node: ${just.reason}`;
  if (pool.failures !== null) {
    const next = coming.length > 0 ? "trying again" : `next try at ${new Date(retryAt(pool)).toISOString()}`;
    return `pool ${pool.name} failed to provide a node: ${pool.failures.message}; ${next}`;
  }
  const left = Math.max(0, pool.max - live.length);
  const most = `pool ${pool.name} is at its max of ${pool.max} ${pool.max === 1 ? "node" : "nodes"}`;
  return left === 0 || nodes === 1 ? most : `${most} but for ${left}, and ${nodes} are needed`;
}
