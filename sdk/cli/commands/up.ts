/** `berth up`: the platform on this machine. */
import { resolve } from "node:path";
import type { ListedGpu } from "../../gpu_list.ts";
import { command, type Declare, type Job } from "../cli.ts";
import { engineArgs, type EngineFlags, engineOptions } from "../engine_options.ts";
import { usageError } from "../failure.ts";
import { gpusOf } from "../machine_options.ts";
import { loadRoom } from "../rooms.ts";

export interface UpOptions {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  /** Absolute. */
  readonly dataDir: string;
  /** GPUs to count and give away though there are none: as they were written, and as they are. */
  readonly simulatedGpus: { readonly text: string; readonly gpus: readonly ListedGpu[] } | undefined;
  /** Guests kept started ahead; undefined leaves it to the runner. */
  readonly poolSize: number | undefined;
  /** Where images are pushed that the platform builds; undefined leaves it to BERTH_REGISTRY. */
  readonly registry: string | undefined;
  /** Whether this machine is a node itself. */
  readonly runner: boolean;
  /** Flags of its runner as that takes them. */
  readonly runnerArgs: readonly string[];
}

/** Each holds about 50 MB. */
const POOL_MAX = 64;

/** What is used of `api/up.ts`. */
export interface UpModule {
  up(job: Job, options: UpOptions): Promise<number>;
}
interface Flags extends EngineFlags {
  readonly port: number;
  readonly host: string;
  readonly data: string;
  readonly simulateGpus?: string;
  readonly poolSize?: number;
  readonly registry?: string;
  readonly runner: boolean;
}

const PORT_MAX = 65_535;

const EXAMPLES = [
  "berth up",
  "berth up --port 0 --data /var/lib/berth --json",
  "berth up --simulate-gpus 8xH100:80GiB",
  "berth up --engine oci --oci-socket /run/podman/podman.sock",
];

export const up: Declare = (program, cli) => {
  const declared = command(program, "up", "Start everything on this machine, in the foreground", EXAMPLES)
    .option("--port <port>", "port to listen on; 0 for any free one", portOf, 7878)
    .option("--host <host>", "address to listen on", "127.0.0.1")
    .option("--data <dir>", "folder of all data", ".berth")
    .option("--simulate-gpus <spec>", "count and give away GPUs that are not there, such as 8xH100:80GiB")
    .option("--pool-size <n>", "guests kept started ahead, for quick cold starts; 0 for none", poolSizeOf)
    .option("--registry <repository>", "push images that are built to HOST[:PORT]/REPOSITORY")
    .option("--no-runner", "do not make this machine a node: nodes are those of pools, or join");
  engineOptions(declared)
    .action(cli.action<Flags>(async (job, flags) => {
      const { host, port, data, simulateGpus: text, poolSize, registry, runner } = flags;
      const { up } = await loadRoom<UpModule>("api/up.ts");
      const simulatedGpus = text === undefined ? undefined : { text, gpus: gpusOf(text) };
      return await up(job, {
        host,
        port,
        dataDir: resolve(job.shell.cwd, data),
        simulatedGpus,
        poolSize,
        registry,
        runner,
        runnerArgs: engineArgs(flags, job.shell.cwd),
      });
    }));
};

function poolSizeOf(text: string): number {
  const size = Number(text);
  if (Number.isInteger(size) && size >= 0 && size <= POOL_MAX) return size;
  throw usageError(
    `Cannot keep ${text} guests started ahead: --pool-size must be a whole number from 0 to ${POOL_MAX}`,
  );
}

function portOf(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 0 && port <= PORT_MAX) return port;
  throw usageError(`Cannot use --port ${text}: it must be a whole number from 0 to ${PORT_MAX}`);
}
