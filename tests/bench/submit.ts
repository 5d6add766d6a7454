/** (f) Bulk submit: inputs accepted per second, of calls that nothing can run yet. */
import { connect } from "../../scheduler/store/connect.ts";
import { LIMITS } from "../../sdk/protocol.ts";
import { type Finding, median, spread } from "./report.ts";
import { took } from "./times.ts";
import type { World } from "./world.ts";

const TARGET = 60_000;
const ROUNDS = 5;
const IN_FLIGHT = 2;

export async function submit(world: World): Promise<Finding> {
  const n = Math.max(1, Math.round(world.scaled(100_000) / LIMITS.inputsPerRequest)) *
    LIMITS.inputsPerRequest;
  const database = await world.database("rows");
  const sql = connect(database, { max: IN_FLIGHT, name: "bench" });
  const ours: number[] = [];
  const rows: number[] = [];
  try {
    await sql`create table calls (id bigint primary key, fn int not null, batch bigint not null, idx int not null, input json)`;
    for (let round = 0; round < ROUNDS; round++) {
      ours.push(n * 1_000 / await took(() => inPortions(n, (portion) => post(world, portion))));
      rows.push(
        n * 1_000 /
          await took(() => inPortions(n, (portion, base) => insert(sql, portion, base + round * n))),
      );
    }
  } finally {
    await sql.end({ timeout: 1 });
  }
  await cancelAll(world);
  return {
    bench: "f submit",
    what: `bulk submit, ${LIMITS.inputsPerRequest} inputs a request, ${IN_FLIGHT} in flight`,
    value: spread(ours, "inputs"),
    baseline: `${spread(rows, "rows")}: one raw unnest insert a portion`,
    target: `≥ ${TARGET.toLocaleString("en-US")}/s`,
    ok: median(ours) >= TARGET,
    figures: { inputsPerSecond: median(ours), rowsPerSecond: median(rows) },
  };
}

/** Runs `send` on portions of 0 … n, a few at a time. */
async function inPortions(
  n: number,
  send: (portion: number[], base: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < n) {
      const base = next;
      next += LIMITS.inputsPerRequest;
      await send(Array.from({ length: LIMITS.inputsPerRequest }, (_, i) => base + i), base);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}

async function post({ fetch, platform: { url, key } }: World, inputs: number[]): Promise<void> {
  const response = await fetch(`${url}/v1/apps/bench/functions/parked/calls`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ inputs }),
  });
  const { calls } = await response.json();
  if (calls?.length !== inputs.length) {
    throw new Error(`Cannot submit: ${response.status}, ${calls?.length} calls`);
  }
}

const insert = (sql: ReturnType<typeof connect>, portion: number[], base: number): Promise<unknown> =>
  sql`
    insert into calls (id, fn, batch, idx, input)
    select base.id + i, 1, base.id, i, input
    from (select ${base}::bigint as id) base, unnest(${
    portion.map(String)
  }::text[]::json[]) with ordinality as x (input, i)`;

/** Removing the app cancels what waits; the next bench wants it back. */
async function cancelAll({ fetch, platform }: World): Promise<void> {
  const { url, key } = platform;
  await (await fetch(`${url}/v1/apps/bench`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${key}` },
  })).text();
}
