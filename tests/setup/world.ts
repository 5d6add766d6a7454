/** Rows that calls hang on, for tests of the store. */
import type { z } from "zod";
import { FunctionSpec } from "../../sdk/protocol.ts";
import type { Pool } from "../../scheduler/store/connect.ts";
import type { Submission } from "../../scheduler/store/calls.ts";

/** A spec as it is sent: what is left out has its default. */
export type SpecInput = Partial<z.input<typeof FunctionSpec>>;

export const NOW = new Date("2026-01-01T00:00:00Z");

/** An app `demo` with one function `work` in workspace `default`; returns the function's id. */
export async function insertFunction(
  sql: Pool,
  spec: SpecInput = {},
): Promise<number> {
  const whole = FunctionSpec.parse({
    name: "work",
    kind: "function",
    body: "ts",
    entry: "work",
    methods: [{ name: spec.name ?? "work", kind: "call" }],
    ...spec,
  });
  const [app] = await sql<{ id: number }[]>`
    insert into app (workspace_id, name, created_at) values ('default', 'demo', ${NOW})
    on conflict (workspace_id, name) where deleted_at is null do update set name = excluded.name
    returning id`;
  await sql`
    insert into deployment (id, app_id, version, digest, manifest, created_at)
    values ('dep_1', ${app!.id}, 1, ${"0".repeat(64)}, '{}', ${NOW}) on conflict do nothing`;
  await sql`update app set deployment_id = 'dep_1' where id = ${app!.id}`;
  const [row] = await sql<{ id: number }[]>`
    insert into function (app_id, name, deployment_id, spec)
    values (${app!.id}, ${whole.name}, 'dep_1', ${JSON.stringify(whole)}::text::json) returning id`;
  return row!.id;
}

/** A submission of `inputs` to `work`. */
export function submission(
  functionId: number,
  inputs: readonly unknown[],
  more: Partial<Submission> = {},
): Submission {
  return {
    workspaceId: "default",
    functionId,
    method: "work",
    inputs: JSON.stringify(inputs),
    size: inputs.length,
    priority: 50,
    tags: {},
    ...more,
  };
}

/** A node `node_1` with ready containers of a function. */
export async function insertContainers(sql: Pool, functionId: number, ids: readonly string[]): Promise<void> {
  await sql`
    insert into node (id, name, pool, credential_hash, session, host, state, cpu_milli, memory_mib, cpu_milli_free,
      memory_mib_free, joined_at, seen_at, lease_until)
    values ('node_1', 'one', 'default', 'hash', 'session', 'here', 'up', 8000, 8000, 8000, 8000, ${NOW}, ${NOW}, ${NOW})
    on conflict do nothing`;
  for (const id of ids) {
    await sql`
      insert into container (id, function_id, deployment_id, node_id, session, desired, observed, gpus, gpu_milli, cpu_milli,
        memory_mib, reason, created_at, ready_at, busy_at)
      values (${id}, ${functionId}, 'dep_1', 'node_1', 'session', 'run', 'ready', '[]', 0, 100, 100, 'test', ${NOW}, ${NOW}, ${NOW})`;
  }
}
