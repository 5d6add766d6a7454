/** Many seeds, in several processes at a time. */
import type { Report } from "./simulate.ts";

export interface Campaign {
  readonly seeds: readonly number[];
  /** Address of a test server. */
  readonly server: string;
  readonly jobs: number;
  readonly onReport?: (report: Report) => void;
}

const WORKER = new URL("worker.ts", import.meta.url).pathname;

/** Seeds that one process runs before another takes its place: what it has simulated it keeps in memory. */
const SEEDS_PER_WORKER = 100;

/** Runs all seeds; their reports by seed. */
export async function runCampaign({ seeds, server, jobs, onReport = () => {} }: Campaign): Promise<Report[]> {
  const reports: Report[] = [];
  const left = [...seeds];
  await Promise.all(
    Array.from({ length: jobs }, async () => {
      while (left.length > 0) {
        const share = left.splice(0, Math.min(SEEDS_PER_WORKER, Math.ceil(left.length / jobs)));
        for await (const report of reportsOf(server, share)) {
          reports.push(report);
          onReport(report);
        }
      }
    }),
  );
  return reports.sort((a, b) => a.seed - b.seed);
}

/** What a process says of the seeds that it runs. */
async function* reportsOf(server: string, seeds: readonly number[]): AsyncGenerator<Report> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", WORKER, server, ...seeds.map(String)],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  for await (const line of linesOf(child.stdout)) yield JSON.parse(line);
  const { code } = await child.status;
  if (code !== 0) throw new Error(`Cannot go on: a worker of the simulation ended with code ${code}`);
}

async function* linesOf(stdout: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of stdout) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
