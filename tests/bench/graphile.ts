/** The baseline of the map bench: graphile-worker draining preloaded rows on the same server, in whichever runtime is faster. */
import { fileURLToPath } from "node:url";
import { join } from "node:path";

const PACKAGES = { "graphile-worker": "0.17.3", pg: "8.16.3" };
const INSTALL = ["install", "--quiet", "--node-modules-dir=auto"];
const RUNTIMES = {
  deno: { command: Deno.execPath(), args: ["run", "-A", "--quiet", "--node-modules-dir=manual"] },
  node: { command: "node", args: [] },
} as const;
export type Runtime = keyof typeof RUNTIMES;

export interface Graphile {
  /** Jobs per second of one drain. */
  drain(jobs: number): Promise<number>;
  readonly runtime: Runtime;
}

/** Installs it into a folder that git does not see, and finds out who runs it faster. */
export async function prepareGraphile(
  folder: string,
  database: string,
  trialJobs: number,
): Promise<Graphile> {
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(
    join(folder, "package.json"),
    JSON.stringify({ type: "module", dependencies: PACKAGES }),
  );
  await Deno.copyFile(fileURLToPath(new URL("graphile.mjs", import.meta.url)), join(folder, "drain.mjs"));
  await output(Deno.execPath(), INSTALL, folder);

  const drain = async (runtime: Runtime, jobs: number): Promise<number> => {
    const { command, args } = RUNTIMES[runtime];
    return JSON.parse(await output(command, [...args, "drain.mjs", database, String(jobs)], folder)).rate;
  };
  let fastest: { runtime: Runtime; rate: number } = { runtime: "deno", rate: 0 };
  for (const runtime of await works("node") ? ["deno", "node"] as const : ["deno"] as const) {
    const rate = await drain(runtime, trialJobs);
    if (rate > fastest.rate) fastest = { runtime, rate };
  }
  return { runtime: fastest.runtime, drain: (jobs) => drain(fastest.runtime, jobs) };
}

async function output(command: string, args: string[], cwd: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args, cwd, stdin: "null" }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  if (!success) throw new Error(`Cannot run ${command} ${args[0]}: ${text(stderr)}`);
  return text(stdout);
}

const works = (command: string): Promise<boolean> =>
  new Deno.Command(command, { args: ["--version"], stdout: "null", stderr: "null" }).output().then(
    ({ success }) => success,
    () => false,
  );
