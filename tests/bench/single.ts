/** (b) One call on an idle warm system: submit to result. */
import { connect } from "../../scheduler/store/connect.ts";
import { type Finding, median, ms, quantile } from "./report.ts";
import { times } from "./times.ts";
import type { World } from "./world.ts";

const TARGET_MS = 8;
const PAUSE_MS = 8;

export async function single(world: World): Promise<Finding> {
  const { fetch, platform: { url, key }, scaled } = world;
  const call = async () => {
    const response = await fetch(`${url}/v1/apps/bench/functions/noop/calls`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json", prefer: "wait=30" },
      body: '{"input":7}',
    });
    const { result } = await response.json();
    if (result !== 7) {
      throw new Error(`Cannot measure single calls: expected 7, got ${JSON.stringify(result)}`);
    }
  };
  const ping = async () => void await (await fetch(`${url}/healthz`)).text();
  await times(world, 20, call);
  const calls = await times(world, scaled(300), call, PAUSE_MS);
  const pings = await times(world, scaled(100), ping, PAUSE_MS);
  const commits = await commitTimes(world);
  const floor = median(pings) + 3 * median(commits);
  return {
    bench: "b single",
    what: "submit → result, idle, p50",
    value: `${ms(median(calls))} (p99 ${ms(quantile(calls, 0.99))})`,
    baseline: `${ms(floor)}: GET /healthz and 3 commits`,
    target: `≤ ${TARGET_MS} ms`,
    ok: median(calls) <= TARGET_MS,
    figures: { p50: median(calls), p99: quantile(calls, 0.99), ping: median(pings), commit: median(commits) },
  };
}

/** What one committed row takes on this server. */
async function commitTimes(world: World): Promise<number[]> {
  const sql = connect(await world.database("commits"), { max: 1, name: "bench" });
  try {
    await sql`create table one (id int)`;
    return await times(
      world,
      world.scaled(100),
      async () => void await sql`insert into one values (1)`,
      PAUSE_MS,
    );
  } finally {
    await sql.end({ timeout: 1 });
  }
}
