/** `berth join`: a runner in the foreground, with a person before it. */
import type { Job } from "../sdk/cli/cli.ts";
import type { JoinOptions } from "../sdk/cli/commands/join.ts";
import { eventLog } from "../sdk/cli/event_log.ts";
import { CliError, EXIT, usageError } from "../sdk/cli/failure.ts";
import type { Output } from "../sdk/cli/output.ts";
import { memory, trim } from "../sdk/cli/words.ts";
import { formatGpuList } from "../sdk/gpu_list.ts";
import { JoinRefused, type Machine } from "./agent.ts";
import type { NodeApi } from "./api.ts";
import { buildRunner } from "./build.ts";
import { readConfig, type RunnerConfig } from "./config.ts";

/** Joins, stays until Ctrl-C or until the node is no longer wanted, leaves. Answers the exit code. */
export async function join(
  { shell, output }: Job,
  { url, token, dataDir, runnerArgs }: JoinOptions,
): Promise<number> {
  const { env, clock } = shell;
  const { BERTH_JOIN_TOKEN: _, ...rest } = env;
  const given = token === undefined ? rest : { ...rest, BERTH_JOIN_TOKEN: token };
  const config = configOf(["--api", url, "--data", dataDir, ...runnerArgs], given);
  output.status(`Joining ${url}`);
  const { agent, machine, close } = await build(config, {
    env,
    log: eventLog(output, clock),
    joined: (node) => {
      output.clearStatus();
      output.result(
        { node: node.id, pool: node.pool, pid: Deno.pid },
        () => banner(output, { url, dataDir, node, machine }),
      );
    },
  });
  const leave = () => {
    output.status("Leaving: what runs may end; Ctrl-C again to force");
    agent.stop();
  };
  shell.interrupted().addEventListener("abort", leave);
  Deno.addSignalListener("SIGTERM", leave);
  try {
    await agent.run();
  } catch (error) {
    if (error instanceof JoinRefused) throw new CliError(EXIT.platform, error.message);
    throw error;
  } finally {
    Deno.removeSignalListener("SIGTERM", leave);
    await close();
    output.clearStatus();
  }
  return EXIT.ok;
}

/** What is wrong with what it was told is for the person to put right. */
async function build(...args: Parameters<typeof buildRunner>): ReturnType<typeof buildRunner> {
  try {
    return await buildRunner(...args);
  } catch (error) {
    throw error instanceof TypeError ? usageError(error.message) : error;
  }
}

function configOf(args: readonly string[], env: Readonly<Record<string, string>>): RunnerConfig {
  try {
    return readConfig(args, env);
  } catch (error) {
    throw usageError((error as Error).message);
  }
}

interface Joined {
  readonly url: string;
  readonly dataDir: string;
  readonly node: NodeApi["node"];
  readonly machine: Machine;
}

function banner(output: Output, { url, dataDir, node, machine }: Joined): string {
  const row = (name: string, text: string) => `  ${output.paint("dim", name.padEnd(6))} ${text}`;
  return [
    "",
    `  ${output.paint("bold", machine.name)} is a node of ${url}${
      node.pool === undefined ? "" : `, in pool ${node.pool}`
    }`,
    "",
    row("Node", node.id),
    row("Has", `${gpuText(machine)}, ${trim(machine.cpu)} cores, ${memory(machine.memory)}`),
    row("Data", dataDir),
    "",
    `  ${output.paint("dim", "Ctrl-C leaves. Started again here, it joins again without a token.")}`,
    "",
  ].join("\n");
}

const gpuText = ({ gpus }: Machine): string =>
  gpus.length === 0
    ? "no GPUs"
    : formatGpuList(gpus) + (gpus.some(({ simulated }) => simulated) ? " (simulated)" : "");
