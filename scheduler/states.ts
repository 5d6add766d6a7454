/**
 * Every state machine, one literal table each: state → event → next state. Code and SQL both derive from these tables;
 * a state without events is terminal.
 *
 * ```
 * call       queued ─claim→ running ─succeed→ succeeded
 *              │  ▲            ├─fail→ failed
 *       expire │  └─requeue────┤
 *              ▼               ├─cancel→ cancelled
 *           expired            ┘
 * container  pending ─start→ starting ─ready→ ready ─exit→ exited      (lose, from any of the first three → lost)
 * node       up ⇄ draining,  up|draining ─lose→ lost ─rejoin→ up,  any ─leave→ left
 * provision  requested ─start→ starting ─join→ joined ─release→ releasing ─end→ released
 *              (cancel, before it joined → releasing; fail, from any of the first four → failed)
 * pool       active ⇄ draining ─delete→ deleted
 * image      queued ─begin→ building ─finish→ ready, building ─fail→ failed, building ─lose→ queued
 *              (ask, from ready, failed and removing → queued; remove, from queued, ready and failed → removing)
 * ```
 */
import type { CallState, Desired, ImageState, Observed } from "../sdk/protocol.ts";

export type Machine = Readonly<Record<string, Readonly<Record<string, string>>>>;
export type State<M> = keyof M & string;
/** States that nothing leads out of. */
export type Terminal<M> = { [S in keyof M]: keyof M[S] extends never ? S : never }[keyof M] & string;
export type Event<M> = { [S in keyof M]: keyof M[S] & string }[keyof M];

export const callMachine = {
  /** Lies in a range of `ready`. */
  queued: { claim: "running", cancel: "cancelled", expire: "expired", fail: "failed" },
  /** Lies in an open lease and has not been reported. */
  running: { succeed: "succeeded", fail: "failed", requeue: "queued", cancel: "cancelled" },
  /** Has its one row in `result`; so have the next three. */
  succeeded: {},
  failed: {},
  cancelled: {},
  expired: {},
} as const satisfies Record<CallState, Readonly<Record<string, CallState>>>;

/** `observed` of a container: what the runner saw; `lose` is the scheduler's word alone. */
export const containerMachine = {
  pending: { start: "starting", ready: "ready", exit: "exited", lose: "lost" },
  starting: { ready: "ready", exit: "exited", lose: "lost" },
  ready: { exit: "exited", lose: "lost" },
  exited: {},
  lost: {},
} as const satisfies Record<Observed, Readonly<Record<string, Observed>>>;

/** `desired` of a container: what the scheduler wants; it never goes back. */
export const desiredMachine = {
  run: { drain: "drain", stop: "stop" },
  /** Takes no new work; ends what it has. */
  drain: { stop: "stop" },
  stop: {},
} as const satisfies Record<Desired, Readonly<Record<string, Desired>>>;

export type NodeState = "up" | "draining" | "lost" | "left";
export const nodeMachine = {
  up: { drain: "draining", lose: "lost", leave: "left", rejoin: "up" },
  draining: { resume: "up", lose: "lost", leave: "left", rejoin: "draining" },
  /** Not heard of for longer than its lease; its containers are lost, its capacity is not used. */
  lost: { rejoin: "up", leave: "left" },
  left: { rejoin: "up" },
} as const satisfies Record<NodeState, Readonly<Record<string, NodeState>>>;

export type ProvisionState = "requested" | "starting" | "joined" | "releasing" | "released" | "failed";
export const provisionMachine = {
  /** The scheduler wants it; the provider has not been told. */
  requested: { start: "starting", join: "joined", cancel: "releasing", fail: "failed" },
  /** The provider has been told; its runner has not joined. */
  starting: { join: "joined", cancel: "releasing", fail: "failed" },
  /** Its node is there. */
  joined: { release: "releasing", fail: "failed" },
  /** The provider is to take it back. */
  releasing: { end: "released", fail: "failed" },
  released: {},
  failed: {},
} as const satisfies Record<ProvisionState, Readonly<Record<string, ProvisionState>>>;

export type PoolState = "active" | "draining" | "deleted";
export const poolMachine = {
  active: { drain: "draining" },
  /** Asks for no more nodes; those it has drain and are released. */
  draining: { resume: "active", delete: "deleted" },
  deleted: {},
} as const satisfies Record<PoolState, Readonly<Record<string, PoolState>>>;

export const imageMachine = {
  /** Waits for a node that can build it. */
  queued: { begin: "building", remove: "removing" },
  /** A runner builds it, for as long as its node's session lasts. */
  building: { finish: "ready", fail: "failed", lose: "queued" },
  /** Nodes can pull it. */
  ready: { ask: "queued", remove: "removing" },
  failed: { ask: "queued", remove: "removing" },
  /** The node that built it is to remove what it has of it; then the row goes. */
  removing: { ask: "queued", keep: "left" },
  /** Gone from its node; its registry keeps it, and `failure` says why. The row goes after a while. */
  left: { ask: "queued" },
} as const satisfies Record<ImageState, Readonly<Record<string, ImageState>>>;

/** States in which `event` may happen: the guard of a statement. */
export const sources = <M extends Machine>(machine: M, event: Event<M>): State<M>[] =>
  Object.keys(machine).filter((state) => event in machine[state]!);

export const terminal = <M extends Machine>(machine: M): Terminal<M>[] =>
  Object.keys(machine).filter((state) => Object.keys(machine[state]!).length === 0) as Terminal<M>[];

/** The state after `event`, or null when it can't happen in `state`. */
export const next = <M extends Machine>(machine: M, state: State<M>, event: Event<M>): State<M> | null =>
  machine[state]?.[event] ?? null;

/** `result.state` counts the terminal states of a call, in the order of its table. */
export const RESULT_STATES = terminal(callMachine);
