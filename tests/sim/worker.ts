/** Runs the seeds that it is given, on a server that runs: `worker.ts SERVER SEED…`. Prints a report, one line of JSON, for each. */
import { Laboratory } from "./laboratory.ts";
import { simulate } from "./simulate.ts";

const [server, ...seeds] = Deno.args;
const laboratory = await Laboratory.open(server!);
try {
  for (const seed of seeds) {
    const report = await laboratory.with((sessions) => simulate({ seed: Number(seed) }, sessions));
    console.log(JSON.stringify(report));
  }
} finally {
  await laboratory.close();
}
