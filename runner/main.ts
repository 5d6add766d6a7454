/** A runner as a process: `deno run -A runner/main.ts --api URL --data DIR`, with its token in BERTH_JOIN_TOKEN. */
import { realLog } from "../sdk/ports.ts";
import { JoinRefused } from "./agent.ts";
import { buildRunner, type Env, sweep } from "./build.ts";
import { readConfig, type RunnerConfig, withoutSecrets } from "./config.ts";

/** Runs until it is told to stop, or is no longer wanted. */
async function main(config: RunnerConfig, env: Env): Promise<void> {
  if (config.sweep) return await sweep(config);
  realLog("runner.starting", withoutSecrets(config));
  const { agent, close } = await buildRunner(config, {
    env,
    log: realLog,
    joined: ({ id }) => {
      if (config.json) console.log(JSON.stringify({ node: id, pid: Deno.pid }));
    },
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, () => agent.stop());
  await agent.run();
  await close();
}

if (import.meta.main) {
  const env = Deno.env.toObject();
  try {
    await main(readConfig(Deno.args, env), env);
  } catch (error) {
    if (!(error instanceof JoinRefused || error instanceof TypeError)) throw error;
    console.error(error.message);
    Deno.exit(1);
  }
  Deno.exit(0);
}
