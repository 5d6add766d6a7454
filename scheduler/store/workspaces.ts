/** Workspaces as operators make and change them, and what each uses. */
import type { Workspace, WorkspaceSettings } from "../../sdk/protocol.ts";
import type { Plan } from "../model.ts";
import type { Sql } from "./connect.ts";
import { waitingCalls } from "./quotas.ts";

interface WorkspaceRow {
  readonly name: string;
  readonly weight: number;
  readonly gpuQuotaMilli: number | null;
  readonly gpuLimitMilli: number | null;
  readonly cpuQuotaMilli: number | null;
  readonly cpuLimitMilli: number | null;
  readonly queuedLimit: number | null;
  readonly createdAt: Date;
  readonly gpuMilli: number;
  readonly cpuMilli: number;
  readonly containers: number;
  readonly queued: number;
  readonly running: number;
  readonly gpuSeconds: number;
}

interface WorkspaceFilter {
  readonly name?: string | undefined;
  readonly after?: string | undefined;
  readonly limit: number;
}

/** Workspaces by name, with what they have at this moment. */
export async function listWorkspaces(
  sql: Sql,
  { name, after = "", limit }: WorkspaceFilter,
): Promise<Workspace[]> {
  const rows = await sql<WorkspaceRow[]>`
    select w.id as name, w.weight, w.gpu_quota_milli, w.gpu_limit_milli, w.cpu_quota_milli, w.cpu_limit_milli, w.queued_limit,
      w.created_at, has.*, coalesce(u.gpu_seconds, 0) as gpu_seconds
    from workspace w
    left join workspace_usage u on u.workspace_id = w.id
    cross join lateral (
      select coalesce(sum(c.gpu_milli), 0)::float8 as gpu_milli, coalesce(sum(c.cpu_milli), 0)::float8 as cpu_milli,
        coalesce(sum(c.containers), 0)::int as containers, coalesce(sum(c.queued), 0)::float8 as queued,
        coalesce(sum(c.running), 0)::int as running
      from app
      join function f on f.app_id = app.id
      cross join lateral (
        select sum(gpu_milli) as gpu_milli, sum(cpu_milli) as cpu_milli, count(*) as containers,
          ${waitingCalls(sql, "f.id")} as queued,
          (select sum(remaining) from lease where function_id = f.id and remaining > 0) as running -- lease_open_function
        from container where function_id = f.id and exited_at is null -- container_live
      ) c
      where app.workspace_id = w.id
    ) has
    where w.id > ${after} ${name === undefined ? sql`` : sql`and w.id = ${name}`}
    order by w.id
    limit ${limit}`;
  return rows.map(toWorkspace);
}

export async function findWorkspace(sql: Sql, name: string): Promise<Workspace | undefined> {
  return (await listWorkspaces(sql, { name, limit: 1 }))[0];
}

/** Makes a workspace; false when there is one of this name. */
export async function insertWorkspace(
  sql: Sql,
  now: Date,
  name: string,
  settings: WorkspaceSettings,
): Promise<boolean> {
  const { count } = await sql`
    insert into workspace ${sql({ id: name, name, createdAt: now, ...columnsOf(settings) })}
    on conflict do nothing`;
  return count > 0;
}

export async function updateWorkspace(sql: Sql, name: string, settings: WorkspaceSettings): Promise<void> {
  await sql`update workspace set ${sql(columnsOf(settings))} where id = ${name}`;
}

/** Notes what workspaces have used of late, as a plan has it. */
export async function noteUsage(sql: Sql, now: Date, usage: Plan["usage"]): Promise<void> {
  if (usage.length === 0) return;
  await sql`
    insert into workspace_usage (workspace_id, gpu_seconds, at)
    select workspace, used, ${now}
    from json_to_recordset(${JSON.stringify(usage)}::text::json) as u(workspace text, used float8)
    on conflict (workspace_id) do update set gpu_seconds = excluded.gpu_seconds, at = excluded.at`;
}

const columnsOf = ({ weight, gpus, maxGpus, cpu, maxCpu, maxQueued }: WorkspaceSettings) => ({
  weight,
  gpuQuotaMilli: milli(gpus),
  gpuLimitMilli: milli(maxGpus),
  cpuQuotaMilli: milli(cpu),
  cpuLimitMilli: milli(maxCpu),
  queuedLimit: maxQueued,
});

const toWorkspace = (row: WorkspaceRow): Workspace => ({
  name: row.name,
  weight: row.weight,
  gpus: whole(row.gpuQuotaMilli),
  maxGpus: whole(row.gpuLimitMilli),
  cpu: whole(row.cpuQuotaMilli),
  maxCpu: whole(row.cpuLimitMilli),
  maxQueued: row.queuedLimit,
  usage: {
    gpus: row.gpuMilli / 1000,
    cpu: row.cpuMilli / 1000,
    containers: row.containers,
    queued: row.queued,
    running: row.running,
    gpuSeconds: row.gpuSeconds,
  },
  createdAt: row.createdAt.toISOString(),
});

const milli = (amount: number | null): number | null => amount === null ? null : Math.round(amount * 1000);
const whole = (amount: number | null): number | null => amount === null ? null : amount / 1000;
