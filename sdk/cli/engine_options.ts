/** How a node runs containers, as options of the commands that make one. Each is a variable as well: BERTH_ENGINE, BERTH_OCI_SOCKET, … */
import { resolve } from "node:path";
import type { Command } from "commander";
import { usageError } from "./failure.ts";

export interface EngineFlags {
  readonly engine?: string;
  readonly ociSocket?: string;
  readonly ociRuntime?: string;
  readonly denoImage?: string;
  readonly pythonImage?: string;
  readonly imagesDisk?: string;
  readonly poolMemory?: string;
  readonly registryAuth?: string;
  readonly caBundle?: string;
  readonly hostPorts?: string;
  readonly containerAddresses?: string;
  readonly volumes?: string;
}

const ENGINES = ["auto", "oci", "process"];

/** Adds them to a command. */
export const engineOptions = (command: Command): Command =>
  command
    .option(
      "--engine <kind>",
      "what runs functions: oci, containers; process, plain programs; auto, containers for those with an image",
      engineOf,
    )
    .option("--oci-socket <path>", "where Docker or Podman listens, when that is not where it usually is")
    .option("--oci-runtime <name>", "runtime of containers other than the engine's own, such as runsc")
    .option("--deno-image <ref>", "image of TypeScript functions that name none, when all are containers")
    .option("--python-image <ref>", "the same of Python functions")
    .option("--images-disk <size>", "MiB of pulled images to keep")
    .option("--pool-memory <size>", "MiB that containers may use which wait for work; 0 for none")
    .option("--registry-auth <file>", "credentials of registries, a file as `docker login` writes it")
    .option("--ca-bundle <file>", "certificates for containers to trust as well, in PEM")
    .option(
      "--host-ports <ports>",
      "ports of this machine that containers may connect to, such as 5432,6379",
    )
    .option(
      "--container-addresses <block>",
      "addresses that nobody else has, for containers, such as 10.77.0.0/20; none leaves them to the engine",
    )
    .option("--volumes <dir>", "a path that this node shares with others, for volumes that lie there");

function engineOf(text: string): string {
  if (ENGINES.includes(text)) return text;
  throw usageError(`Cannot use --engine ${text}: it must be ${ENGINES.join(", ")}`);
}

/** The same for the runner, which may run in another folder. */
export const engineArgs = (
  {
    engine,
    ociSocket,
    ociRuntime,
    denoImage,
    pythonImage,
    imagesDisk,
    poolMemory,
    registryAuth,
    caBundle,
    hostPorts,
    containerAddresses,
    volumes,
  }: EngineFlags,
  cwd: string,
): string[] =>
  Object.entries({
    "--engine": engine,
    "--oci-socket": pathOf(ociSocket, cwd),
    "--oci-runtime": ociRuntime,
    "--deno-image": denoImage,
    "--python-image": pythonImage,
    "--images-disk": imagesDisk,
    "--pool-memory": poolMemory,
    "--registry-auth": pathOf(registryAuth, cwd),
    "--ca-bundle": pathOf(caBundle, cwd),
    "--host-ports": hostPorts,
    "--container-addresses": containerAddresses,
    "--volumes": pathOf(volumes, cwd),
  }).flatMap(([flag, value]) => value === undefined ? [] : [flag, value]);

const pathOf = (path: string | undefined, cwd: string) => path === undefined ? undefined : resolve(cwd, path);
