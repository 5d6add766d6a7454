/**
 * `berth up`. The platform itself is another room, which an SDK that was installed alone comes without: it is loaded only
 * when it is asked for, and only where it lies beside the SDK.
 */
import { resolve } from "node:path";
import type { Gpu } from "../../protocol/nodes.ts";
import { command, type Declare, type Job } from "../cli.ts";
import { CliError, EXIT, usageError } from "../failure.ts";

export interface UpOptions {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  /** Absolute. */
  readonly dataDir: string;
  /** GPUs to count and give away though there are none: as they were written, and as they are. */
  readonly simulatedGpus: { readonly text: string; readonly gpus: readonly Gpu[] } | undefined;
  /** Guests kept started ahead; undefined leaves it to the runner. */
  readonly poolSize: number | undefined;
}

/** Each holds about 50 MB. */
const POOL_MAX = 64;

/** What is used of `api/up.ts`. */
export interface UpModule {
  up(job: Job, options: UpOptions): Promise<number>;
}
/** What is used of `runner/gpu.ts`. */
interface GpuModule {
  parseSimulatedGpus(text: string): Gpu[];
}

interface Flags {
  readonly port: number;
  readonly host: string;
  readonly data: string;
  readonly simulateGpus?: string;
  readonly poolSize?: number;
}

const PORT_MAX = 65_535;

const EXAMPLES = [
  "berth up",
  "berth up --port 0 --data /var/lib/berth --json",
  "berth up --simulate-gpus 8xH100:80GiB",
];

export const up: Declare = (program, cli) => {
  command(program, "up", "Start everything on this machine, in the foreground", EXAMPLES)
    .option("--port <port>", "port to listen on; 0 for any free one", portOf, 7878)
    .option("--host <host>", "address to listen on", "127.0.0.1")
    .option("--data <dir>", "folder of all data", ".berth")
    .option("--simulate-gpus <spec>", "count and give away GPUs that are not there, such as 8xH100:80GiB")
    .option("--pool-size <n>", "guests kept started ahead, for quick cold starts; 0 for none", poolSizeOf)
    .action(cli.action<Flags>(async (job, { host, port, data, simulateGpus: text, poolSize }) => {
      const { up } = await load<UpModule>("api/up.ts");
      const simulatedGpus = text === undefined ? undefined : { text, gpus: await readGpus(text) };
      return await up(job, { host, port, dataDir: resolve(job.shell.cwd, data), simulatedGpus, poolSize });
    }));
};

/** A module of another room. */
async function load<Module>(path: string): Promise<Module> {
  const url = new URL(`../../../${path}`, import.meta.url);
  try {
    await Deno.lstat(url);
  } catch {
    throw new CliError(EXIT.usage, "Cannot start a platform: this is the client alone", {
      hint: "Get Berth whole to run one, or point BERTH_URL and BERTH_KEY at one that runs.",
    });
  }
  return await import(url.href);
}

async function readGpus(text: string): Promise<Gpu[]> {
  const { parseSimulatedGpus } = await load<GpuModule>("runner/gpu.ts");
  try {
    return parseSimulatedGpus(text);
  } catch (error) {
    throw usageError((error as Error).message);
  }
}

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
