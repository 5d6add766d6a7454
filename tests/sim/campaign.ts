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

/** Runs all seeds; their reports by seed. */
export async function runCampaign({ seeds, server, jobs, onReport = () => {} }: Campaign): Promise<Report[]> {
  const reports: Report[] = [];
  const shares = Array.from({ length: jobs }, (_, job) => seeds.filter((_, i) => i % jobs === job));
  await Promise.all(
    shares.filter((share) => share.length > 0).map(async (share) => {
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", WORKER, server, ...share.map(String)],
        stdout: "piped",
        stderr: "inherit",
      }).spawn();
      for await (const line of linesOf(child.stdout)) {
        const report: Report = JSON.parse(line);
        reports.push(report);
        onReport(report);
      }
      const { code } = await child.status;
      if (code !== 0) throw new Error(`Cannot go on: a worker of the simulation ended with code ${code}`);
    }),
  );
  return reports.sort((a, b) => a.seed - b.seed);
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
