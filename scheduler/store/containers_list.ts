/** Containers as the api shows them. */
import type { Container, GpuShare } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";

export interface ContainerFilter {
  readonly workspace: string;
  readonly app?: string | undefined;
  readonly function?: string | undefined;
  /** True: only those that have not ended; false: only those that have. */
  readonly live?: boolean | undefined;
  /** True: only those that have not ended, and those that are kept. */
  readonly present?: boolean | undefined;
  readonly limit: number;
  /** Where the page before ended: creation time (ms) and id of its last container. */
  readonly after?: readonly [createdMs: number, id: string] | undefined;
}

type ContainerRow =
  & Omit<Container, "cpu" | "memory" | "gang" | "exit" | "createdAt" | "readyAt" | "exitedAt" | "keptUntil">
  & {
    gangId: string | null;
    rank: number;
    gpus: GpuShare[];
    cpuMilli: number;
    memoryMib: number;
    createdAt: Date;
    readyAt: Date | null;
    exitedAt: Date | null;
    keptUntil: Date | null;
    exit: Container["exit"] | null;
  };

/** A container as it is shown, of `container c`. */
const shown = (sql: Sql) =>
  sql`
    select c.id, a.name as app, f.name as function, c.deployment_id as deployment, c.node_id as node, c.desired, c.observed,
      c.gpus, c.cpu_milli, c.memory_mib, c.disk_mib as disk, c.gang_id, c.rank, c.created_at, c.ready_at, c.exited_at, c.reason, c.exit,
      case when c.discarded_at is null then c.kept_until end as kept_until
    from container c
    join function f on f.id = c.function_id
    join app a on a.id = f.app_id`;

/** One container of a workspace. */
export async function findContainer(
  sql: Sql,
  { workspace, id }: { workspace: string; id: string },
): Promise<Container | undefined> {
  const [row] = await sql<ContainerRow[]>`
    ${shown(sql)}
    where c.id = ${id} and a.workspace_id = ${workspace}`;
  return row && toContainer(row);
}

/** Containers of a workspace, newest first. */
export async function listContainers(sql: Sql, filter: ContainerFilter): Promise<Container[]> {
  const { workspace, app = null, function: fn = null, live = null, present = null, limit, after } = filter;
  const rows = await sql<ContainerRow[]>`
    ${shown(sql)}
    where a.workspace_id = ${workspace}
      and (${app}::text is null or a.name = ${app})
      and (${fn}::text is null or f.name = ${fn})
      and (${live}::boolean is null or (c.exited_at is null) = ${live})
      and (${present}::boolean is null
        or (c.exited_at is null or c.kept_until is not null and c.discarded_at is null) = ${present})
      ${after === undefined ? sql`` : sql`and (c.created_at, c.id) < (${new Date(after[0])}, ${after[1]})`}
    order by c.created_at desc, c.id desc  -- container_recent
    limit ${limit}`;
  return rows.map(toContainer);
}

function toContainer(
  { cpuMilli, memoryMib, gangId, rank, createdAt, readyAt, exitedAt, keptUntil, exit, ...rest }: ContainerRow,
): Container {
  return {
    ...rest,
    cpu: cpuMilli / 1000,
    memory: memoryMib,
    ...(gangId === null ? {} : { gang: { id: gangId, rank } }),
    createdAt: createdAt.toISOString(),
    readyAt: readyAt?.toISOString() ?? null,
    exitedAt: exitedAt?.toISOString() ?? null,
    keptUntil: keptUntil?.toISOString() ?? null,
    ...(exit ? { exit } : {}),
  };
}

/** The workspace whose function runs in a live container of a node, to act for it. */
export async function workspaceOfContainer(
  sql: Sql,
  { container, node }: { container: string; node: string },
): Promise<string | undefined> {
  const [row] = await sql<{ workspace: string }[]>`
    select a.workspace_id as workspace
    from container c
    join function f on f.id = c.function_id
    join app a on a.id = f.app_id
    where c.id = ${container} and c.node_id = ${node} and c.exited_at is null`;
  return row?.workspace;
}
