/** A container engine that tests have started. */
import type { OciClient } from "../../../runner/engines/oci/client.ts";

export interface TestEngine {
  readonly name: "docker" | "podman";
  readonly socket: string;
  readonly client: OciClient;
  /** Address of this machine as containers see it. */
  readonly gateway: string;
  /** Ends it by `kill -9`, or by SIGTERM, as a machine's init does. */
  kill(signal?: "SIGKILL" | "SIGTERM"): Promise<void>;
  /** Again, after a kill. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** A runtime that both engines know beside their own: runc, which notes in a file what it was asked for. */
export const WRAPPED = "wrapped";

/** Makes it, in the folder of an engine. */
export const wrapRuntime = (dir: string): Promise<void> =>
  Deno.writeTextFile(
    `${dir}/${WRAPPED}`,
    `#!/bin/sh\necho "$@" >>"${dir}/${WRAPPED}.log"\nPATH=$PATH:/usr/sbin:/sbin exec runc "$@"\n`,
    { mode: 0o755 },
  );

/** What the wrapped runtime of the engine at this socket was asked for. */
export const askedOfWrapped = (socket: string): Promise<string> =>
  Deno.readTextFile(`${socket.slice(0, socket.lastIndexOf("/"))}/${WRAPPED}.log`).catch(() => "");
