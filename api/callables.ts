/** What can be called: (workspace, app, name) → function, remembered for a moment, and the room left in its queue. */
import { callables, countQueued } from "../scheduler/store/apps.ts";
import type { Pool } from "../scheduler/store/connect.ts";
import type { Wakes } from "../scheduler/wakes.ts";
import { PlatformError } from "../sdk/errors.ts";
import type { Clock } from "../sdk/ports.ts";
import { LIMITS } from "../sdk/protocol.ts";
import { noSuchApp } from "./apps.ts";
import { suggestion } from "./near.ts";

export interface CallablesDeps {
  readonly sql: Pool;
  readonly clock: Clock;
  readonly wakes: Wakes;
}

export interface Wanted {
  readonly workspace: string;
  readonly app: string;
  readonly method: string;
}

/** A change elsewhere is heard of by a wake; should that be lost, by this. */
const BELIEVED_MS = 2_000;
/** The queue is counted again after this, or when an eighth of the room that was left has been taken. */
const COUNTED_MS = 5_000;

interface Known {
  readonly ids: ReadonlyMap<string, number>;
  readonly until: number;
}
interface Counted {
  readonly room: number;
  readonly until: number;
  taken: number;
}

export class Callables {
  readonly #deps: CallablesDeps;
  readonly #apps = new Map<string, Known>();
  readonly #queues = new Map<number, Counted>();

  constructor(deps: CallablesDeps) {
    this.#deps = deps;
    deps.wakes.on("routes", "*", () => this.#apps.clear());
  }

  /** The function that a call would go to, or an error that says which name is not there. */
  async find(wanted: Wanted): Promise<number> {
    const name = `${wanted.workspace}/${wanted.app}`;
    const known = this.#apps.get(name);
    const id = known !== undefined && this.#deps.clock.now() < known.until
      ? known.ids.get(wanted.method)
      : undefined;
    return id ?? await this.#look(name, wanted);
  }

  async #look(name: string, { workspace, app, method }: Wanted): Promise<number> {
    const found = await callables(this.#deps.sql, workspace, app);
    if (found === undefined) throw await noSuchApp(this.#deps, workspace, app);
    const ids = new Map(found.map((callable) => [callable.method, callable.functionId]));
    this.#apps.set(name, { ids, until: this.#deps.clock.now() + BELIEVED_MS });
    const id = ids.get(method);
    if (id !== undefined) return id;
    const message = `Cannot find function "${method}": app "${app}" has none of this name${
      suggestion(method, [...ids.keys()])
    }`;
    throw new PlatformError("not_found", message, { field: "function" });
  }

  /** Makes room for calls of a function, or refuses. The bound is kept to within what other processes add meanwhile. */
  async reserve(functionId: number, calls: number): Promise<void> {
    const queue = await this.#queue(functionId, calls);
    if (queue.taken + calls > queue.room) {
      const message =
        `Cannot queue ${calls} more calls: at most ${LIMITS.queuedCallsPerFunction} of a function may wait, ` +
        "try again when some have run";
      throw new PlatformError("quota_exceeded", message, { retryAfterMs: COUNTED_MS });
    }
    queue.taken += calls;
  }

  async #queue(functionId: number, calls: number): Promise<Counted> {
    const counted = this.#queues.get(functionId);
    const now = this.#deps.clock.now();
    if (counted !== undefined && now < counted.until && counted.taken + calls <= counted.room / 8) {
      return counted;
    }
    const room = LIMITS.queuedCallsPerFunction - await countQueued(this.#deps.sql, functionId);
    const fresh = { room, until: now + COUNTED_MS, taken: 0 };
    this.#queues.set(functionId, fresh);
    return fresh;
  }
}
