/** `berth join`: makes this machine a node of a platform elsewhere. */
import { resolve } from "node:path";
import { command, type Declare, type Job } from "../cli.ts";
import { engineArgs, type EngineFlags, engineOptions } from "../engine_options.ts";
import { usageError } from "../failure.ts";
import { gpusOf, labelsOf, mibOf, numberOf } from "../machine_options.ts";
import { loadRoom } from "../rooms.ts";

export interface JoinOptions {
  readonly url: string;
  /** Undefined where the machine has joined before. */
  readonly token: string | undefined;
  /** Absolute. */
  readonly dataDir: string;
  /** Flags of the runner as it takes them. */
  readonly runnerArgs: readonly string[];
}

/** What is used of `runner/join.ts`. */
export interface JoinModule {
  join(job: Job, options: JoinOptions): Promise<number>;
}

interface Flags extends EngineFlags {
  readonly token?: string;
  readonly data: string;
  readonly name?: string;
  readonly simulateGpus?: string;
  readonly labels?: string;
  readonly cpu?: number;
  readonly memory?: number;
  readonly disk?: number;
  readonly address?: string;
  readonly relayPort?: number;
  readonly poolSize?: number;
}

const EXAMPLES = [
  "berth join https://berth.example:7878 --token join_…",
  "BERTH_JOIN_TOKEN=join_… berth join http://10.0.0.1:7878 --labels zone=eu-1,rack=7",
  "berth join http://10.0.0.1:7878 --token join_… --engine oci --registry-auth ~/.docker/config.json",
  "berth join http://10.0.0.1:7878 --token join_… --simulate-gpus 2xL4 --cpu 4 --memory 16GiB",
];

export const join: Declare = (program, cli) => {
  const declared = command(
    program,
    "join",
    "Make this machine a node of a platform, in the foreground",
    EXAMPLES,
  )
    .argument("<url>", "where the platform is")
    .option(
      "--token <token>",
      "what `berth pools token` gave; BERTH_JOIN_TOKEN keeps it out of the process list",
    )
    .option("--name <name>", "name of the node; that of the machine when absent")
    .option("--data <dir>", "folder of what the node keeps", ".berth/node")
    .option("--simulate-gpus <spec>", "count and give away GPUs that are not there, such as 8xH100:80GiB")
    .option("--labels <labels>", "what the node is marked with, such as zone=eu-1,rack=7")
    .option("--cpu <cores>", "cores to offer; all there are when absent", numberOf)
    .option("--memory <size>", "memory to offer, such as 64GiB", mibOf)
    .option("--disk <size>", "scratch space to offer; what is free when absent", mibOf)
    .option("--address <host>", "where other nodes reach this machine; its name when absent")
    .option(
      "--relay-port <port>",
      "where the platform reaches what endpoints run here; any free one when absent",
      numberOf,
    )
    .option("--pool-size <n>", "guests kept started ahead, for quick cold starts", numberOf);
  engineOptions(declared)
    .action(cli.action<Flags>(async (job, flags, url = "") => {
      checkUrl(url);
      if (flags.simulateGpus !== undefined) gpusOf(flags.simulateGpus);
      if (flags.labels !== undefined) labelsOf(flags.labels);
      const { join } = await loadRoom<JoinModule>("runner/join.ts");
      return await join(job, {
        url,
        token: flags.token ?? job.shell.env.BERTH_JOIN_TOKEN,
        dataDir: resolve(job.shell.cwd, flags.data),
        runnerArgs: [...runnerArgs(flags), ...engineArgs(flags, job.shell.cwd)],
      });
    }));
};

function checkUrl(url: string): void {
  if (URL.canParse(url) && /^https?:/.test(url)) return;
  throw usageError(`Cannot join "${url}": expected the URL of a platform, such as http://10.0.0.1:7878`);
}

const runnerArgs = (
  { name, simulateGpus, labels, cpu, memory, disk, address, relayPort, poolSize }: Flags,
): string[] =>
  Object.entries({
    "--name": name,
    "--simulate-gpus": simulateGpus,
    "--labels": labels,
    "--cpu": cpu,
    "--memory": memory,
    "--disk": disk,
    "--address": address,
    "--relay-port": relayPort,
    "--pool-size": poolSize,
  }).flatMap(([flag, value]) => value === undefined ? [] : [flag, String(value)]);
