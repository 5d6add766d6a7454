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

export interface Losses {
  readonly nodes: ReadonlySet<string>;
  readonly containers: ReadonlySet<string>;
}

/** Nodes that were silent for too long, and containers that went with a node or a session. */
export function losses({ nodes, containers, hearingSince }: Snapshot, now: number): Losses {
  const isHeard = now - hearingSince < HEARING_MS;
  const silent = isHeard ? [] : nodes.filter((node) => isUp(node) && node.leaseUntil <= now);
  const lost = new Set(silent.map((node) => node.id));
  const sessions = new Map(
    nodes.filter((node) => isUp(node) && !lost.has(node.id)).map(({ id, session }) => [id, session]),
  );
  const gone = containers.filter(({ node, session }) => sessions.get(node) !== session);
  return { nodes: lost, containers: new Set(gone.map(({ id }) => id)) };
}

const isUp = ({ state }: Node): boolean => state === "up" || state === "draining";

/** Why a running container is not wanted however much there is to do, or null when it is. */
export function unwanted(container: Container, fn: Fn | undefined, node: Node | undefined): string | null {
  if (fn === undefined || fn.removed) return "its function was removed";
  if (container.deployment !== fn.deployment) return "a newer deployment took over";
  if (isOutdated(container, fn)) return "a secret of it was changed";
  const ailing = container.gpus.find(({ index }) =>
    node?.gpus.some((gpu) => gpu.index === index && !gpu.healthy)
  );
  return ailing === undefined ? null : `GPU ${ailing.index} of its node is failing`;
}

/** It was given secrets before the last change of one of them. One that has yet to ask will get the newest. */
const isOutdated = ({ secretsRevision: given }: Container, { secretsRevision: newest }: Fn): boolean =>
  given !== null && newest !== null && given < newest;

/** The reason of those that may stay until others have taken their place. */
export const NODE_DRAINS = "its node drains";

/** The first step out: what runs may end; what never got ready has nothing to end. */
export const dismiss = ({ id, observed, leased }: Container, reason: string): Ending => ({
  container: id,
  desired: observed === "ready" || leased > 0 ? "drain" : "stop",
  reason,
});

/** The first step out of one that must be gone by the end of its notice, its calls ended or not. */
export function preempt(container: Container, { preemptNoticeMs }: Fn, reason: string, now: number): Ending {
  const ending = dismiss(container, reason);
  return ending.desired === "drain" ? { ...ending, preemptAt: now + preemptNoticeMs } : ending;
}

/** The last step, when a container has been let down: it drains and has nothing left, or took too long over it, or never got ready. */
export function overdue(container: Container, fn: Fn | undefined, now: number): Ending | null {
  const end = deadline(container, fn);
  return end === null || now < end.at
    ? null
    : { container: container.id, desired: "stop", reason: end.reason };
}

interface Deadline {
  readonly at: number;
  readonly reason: string;
}

/** When a container is stopped if nothing happens until then. */
export function deadline(container: Container, fn: Fn | undefined): Deadline | null {
  if (container.desired === "drain") return drainDeadline(container, container.drainingAt!, fn);
  if (container.desired === "stop" || container.observed === "ready" || fn === undefined) return null;
  return {
    at: container.createdAt + fn.startTimeoutMs + START_GRACE_MS,
    reason: "it did not become ready in time",
  };
}

function drainDeadline({ leased, preemptAt }: Container, since: number, fn: Fn | undefined): Deadline {
  const busy = leased > 0 || (fn?.demand.requests ?? 0) > 0;
  if (!busy) return { at: since + LEAVE_MS, reason: "it has drained" };
  const at = since + (fn?.timeoutMs ?? 0) + DRAIN_GRACE_MS;
  return preemptAt !== null && preemptAt < at
    ? { at: preemptAt, reason: "its notice is over" }
    : { at, reason: "it drained for longer than its timeout" };
}
