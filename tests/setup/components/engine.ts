/** A container engine that tests have started. */
import type { OciClient } from "../../../runner/engines/oci/client.ts";

export interface TestEngine {
  readonly name: "docker" | "podman";
  readonly socket: string;
  readonly client: OciClient;
  /** Address of this machine as containers see it. */
  readonly gateway: string;
  /** `kill -9`. */
  kill(): Promise<void>;
  /** Again, after a kill. */
  start(): Promise<void>;
  stop(): Promise<void>;
}
