/** Which containers must leave, and how. Pure. A container that has work drains; one that has none, or takes too long, stops. */
import type { Container, Ending, Fn, Node, Snapshot } from "./model.ts";

/** What a drained container without work has to run `@exit` and go by itself. */
export const LEAVE_MS = 2_000;
/** What a drained container has beyond the function's `timeout`. */
export const DRAIN_GRACE_MS = 10_000;
/** What a container has beyond its `startTimeout`: it is the runner's to keep, we only make sure. */
export const START_GRACE_MS = 10_000;

/**
 * What nodes have to make themselves heard once somebody listens again: after a minute without a database or a scheduler every
 * lease is over, yet every node may be well.
 */
export const HEARING_MS = 15_000;

/** Nodes that were silent for too long, and containers that went with a node or a session. */
export function losses(
  { nodes, containers, hearingSince }: Snapshot,
  now: number,
): { nodes: string[]; containers: string[] } {
  const silent = now - hearingSince < HEARING_MS
    ? []
    : nodes.filter((node) => isUp(node) && node.leaseUntil <= now);
  const present = new Map(nodes.map((node) => [node.id, silent.includes(node) ? null : node]));
  const gone = containers.filter(({ node, session }) => !hosts(present.get(node) ?? null, session));
  return { nodes: silent.map((node) => node.id), containers: gone.map((container) => container.id) };
}

const isUp = ({ state }: Node): boolean => state === "up" || state === "draining";

const hosts = (node: Node | null, session: string): boolean =>
  node !== null && isUp(node) && node.session === session;

/** Why a running container is not wanted however much there is to do, or null when it is. */
export function unwanted(container: Container, fn: Fn | undefined, node: Node | undefined): string | null {
  if (fn === undefined || fn.removed) return "its function was removed";
  if (container.deployment !== fn.deployment) return "a newer deployment took over";
  return node?.state === "draining" ? "its node drains" : null;
}

/** The first step out: what runs may end; what never got ready has nothing to end. */
export const dismiss = ({ id, observed, leased }: Container, reason: string): Ending => ({
  container: id,
  desired: observed === "ready" || leased > 0 ? "drain" : "stop",
  reason,
});

/** The last step, when a container has been let down: it drains and has nothing left, or took too long over it, or never got ready. */
export function overdue(container: Container, fn: Fn | undefined, now: number): Ending | null {
  const end = deadline(container, fn);
  return end === null || now < end.at
    ? null
    : { container: container.id, desired: "stop", reason: end.reason };
}

/** When a container is stopped if nothing happens until then. */
export function deadline(container: Container, fn: Fn | undefined): { at: number; reason: string } | null {
  if (container.desired === "drain") return drainDeadline(container, container.drainingAt!, fn);
  if (container.desired === "stop" || container.observed === "ready" || fn === undefined) return null;
  return {
    at: container.createdAt + fn.startTimeoutMs + START_GRACE_MS,
    reason: "it did not become ready in time",
  };
}

function drainDeadline(
  { leased }: Container,
  since: number,
  fn: Fn | undefined,
): { at: number; reason: string } {
  const busy = leased > 0 || (fn?.demand.requests ?? 0) > 0;
  if (!busy) return { at: since + LEAVE_MS, reason: "it has drained" };
  return {
    at: since + (fn?.timeoutMs ?? 0) + DRAIN_GRACE_MS,
    reason: "it drained for longer than its timeout",
  };
}
