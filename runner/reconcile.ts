/** What to do so that what runs becomes what is wanted. Pure; the same inputs give the same actions, however often it is asked. */
import type { Assignment } from "../sdk/protocol.ts";

/** A container as this runner knows it. `draining`: was told to end what it has. */
export interface Known {
  readonly id: string;
  readonly state: "starting" | "ready" | "draining" | "stopping" | "exited";
  /** It was told to give way to more important work. */
  readonly givesWay?: boolean;
}

export type Action =
  | { readonly do: "start"; readonly assignment: Assignment }
  | { readonly do: "drain"; readonly id: string }
  /** Drain, with a time after which it is killed, which its calls are told. */
  | { readonly do: "preempt"; readonly id: string }
  /** Notice, grace, kill. */
  | { readonly do: "stop"; readonly id: string }
  /** Wanted to end before it ever began: say that it has exited. */
  | { readonly do: "refuse"; readonly id: string }
  /** Its exit is known to the scheduler. */
  | { readonly do: "forget"; readonly id: string };

/** Actions that lead from `known` to `wanted`. A container that is not wanted has no business here. */
export function reconcile(wanted: readonly Assignment[], known: readonly Known[]): Action[] {
  const byId = new Map(known.map((container) => [container.id, container]));
  const wantedIds = new Set(wanted.map(({ id }) => id));
  const actions = wanted.map((assignment) => pursue(assignment, byId.get(assignment.id)));
  const unwanted = known.filter(({ id }) => !wantedIds.has(id)).map(dismiss);
  return [...unwanted, ...actions].filter((action) => action !== null);
}

function pursue(assignment: Assignment, known: Known | undefined): Action | null {
  const { id, desired } = assignment;
  if (known === undefined) return desired === "run" ? { do: "start", assignment } : { do: "refuse", id };
  if (known.state === "exited" || known.state === "stopping") return null;
  if (desired === "stop") return { do: "stop", id };
  if (desired === "run") return null;
  if (assignment.preemptAt !== undefined && !known.givesWay) return { do: "preempt", id };
  return known.state === "draining" ? null : { do: "drain", id };
}

function dismiss({ id, state }: Known): Action | null {
  if (state === "exited") return { do: "forget", id };
  return state === "stopping" ? null : { do: "stop", id };
}
