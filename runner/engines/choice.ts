/** A node with a container engine: functions that name an image run there, the others too unless they may be plain processes. */
import type { Clock } from "../../sdk/ports.ts";
import type { Assignment } from "../../sdk/protocol.ts";
import type { ContainerEngine, Engine, EngineImages, Guest, Left, StartContext } from "../engine.ts";

export interface EnginesOf {
  /** Null when there was none at the start. */
  readonly oci: Engine | null;
  /** Null where everything must be a container. */
  readonly process: Engine | null;
  /** Looks for one that came later; null when there is none yet. Fails when it is there and can't be used. */
  readonly find?: () => Promise<Engine | null>;
  readonly clock: Clock;
}

/** How soon an engine is found that was installed or started after the runner. */
const FIND_MS = 10_000;

export class Engines implements Engine {
  readonly #of: EnginesOf;
  readonly #process: Engine | null;
  #oci: Engine | null;

  constructor(of: EnginesOf) {
    this.#of = of;
    this.#oci = of.oci;
    this.#process = of.process;
  }

  get images(): EngineImages | undefined {
    return this.#oci?.images;
  }

  get containers(): ContainerEngine | undefined {
    const { away } = this.#oci?.containers ?? {};
    return away === undefined ? undefined : { away, only: this.#process === null };
  }

  get left(): Left | undefined {
    return this.#oci?.left;
  }

  start(assignment: Assignment, context: StartContext): Promise<Guest> {
    const engine = assignment.spec.image === undefined
      ? this.#process ?? this.#oci!
      : this.#oci ?? this.#process!;
    return engine.start(assignment, context);
  }

  async watch(signal: AbortSignal, changed: () => void): Promise<void> {
    const { clock, find } = this.#of;
    while (this.#oci === null && find !== undefined && !signal.aborted) {
      await clock.sleep(FIND_MS, signal);
      if (!signal.aborted) this.#oci = await find();
      await this.left?.spare([]); // the node has joined without them
      if (this.#oci !== null) changed();
    }
    await this.#oci?.watch?.(signal, changed);
  }

  settled(): void {
    this.#oci?.settled();
    this.#process?.settled();
  }

  async close(): Promise<void> {
    await Promise.all([this.#oci?.close(), this.#process?.close()]);
  }
}
