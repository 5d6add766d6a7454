/**
 * What brings and takes away the machines of pools. A provider knows nothing of calls and containers: it is told to start a machine for
 * a provision, and to stop one, and says which there are. Everything else (when, how often, in which pool) is decided elsewhere.
 *
 * **To write another** (Kubernetes, Slurm, Ray): implement the three verbs, add its name to `PoolProvider` and its settings to `CONFIGS`
 * in `sdk/protocol/pools.ts`, and hand it to the loop where the api is put together. What each verb must keep is said with it; three
 * things carry the rest:
 *
 * - A machine bears the id of its provision, in a label or a name, and is found by it. So whoever is killed between starting a
 *   machine and writing that down finds it again, and starting twice makes one.
 * - On the machine runs `runner/main.ts` (what `berth join` runs) with `BERTH_API` and the order's token as `BERTH_JOIN_TOKEN`. The token
 *   is good until the provision's deadline and for that one node. The node is there when its runner has joined: nobody asks
 *   the provider about that.
 * - A runner whose provision is released leaves by itself and exits with code 0; its machine may be gone before it is stopped.
 */
import type { NodeShape } from "../model.ts";

/** A machine that was started for a provision. */
export interface Machine {
  readonly provision: string;
  /** The provider's own name for it, for people: a process, a pod, a job. */
  readonly external: string;
  /** `there`: it starts, runs or stops. `gone`: it has ended by itself, and `stop` will clear away what is left of it. */
  readonly state: "there" | "gone";
  /** Why it is gone, as far as that is known. */
  readonly message: string;
}

/** A machine to start. */
export interface Order {
  readonly provision: string;
  readonly pool: string;
  readonly shape: NodeShape;
  /** Of the pool, for this provider. */
  readonly config: Readonly<Record<string, unknown>>;
  /** With which its runner joins. */
  readonly token: string;
}

export interface Provider {
  /** Every machine of this provider that there is. What `start` has begun is among them as soon as it has answered. */
  list(): Promise<readonly Machine[]>;
  /**
   * Begins to start a machine, and answers how it is called. Does nothing when there is one of this provision. Throws when there can't be
   * one: the pool is left alone for a while then, and others are asked.
   */
  start(order: Order): Promise<string>;
  /** Begins to stop a machine, or clears away what is left of it; called again until it is no longer listed. */
  stop(machine: Machine): Promise<void>;
  /** Calls `changed` when a machine has come or gone by itself, where that can be told: a hint, since lists tell it too. */
  watch?(changed: () => void): void;
}
