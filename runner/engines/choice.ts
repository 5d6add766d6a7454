/** A node with a container engine: functions that name an image run there, the others too unless they may be plain processes. */
import type { Assignment } from "../../sdk/protocol.ts";
import type { Engine, EngineImages, Guest, StartContext } from "../engine.ts";

export interface EnginesOf {
  readonly oci: Engine;
  /** Null where everything must be a container. */
  readonly process: Engine | null;
}

export class Engines implements Engine {
  readonly images: EngineImages | undefined;
  readonly #oci: Engine;
  readonly #process: Engine | null;

  constructor({ oci, process }: EnginesOf) {
    this.#oci = oci;
    this.#process = process;
    this.images = oci.images;
  }

  start(assignment: Assignment, context: StartContext): Promise<Guest> {
    const engine = assignment.spec.image === undefined ? this.#process ?? this.#oci : this.#oci;
    return engine.start(assignment, context);
  }

  settled(): void {
    this.#oci.settled();
    this.#process?.settled();
  }

  async close(): Promise<void> {
    await Promise.all([this.#oci.close(), this.#process?.close()]);
  }
}
