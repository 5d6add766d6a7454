/**
 * Makes a plan true, inside the transaction that holds the lead. Every statement guards itself with what the plan saw, so that
 * what changed since then (a node that spoke up, a schedule that was paused) wins. Statements are sent without waiting for
 * one another where they don't need each other's answers.
 */
import type { Ending, Fire, NewGang, Plan, Refusal, Start } from "../model.ts";
import { desiredMachine, nodeMachine, sources } from "../states.ts";
import { enqueue, expireDue, failQueued, type Submission, wakeDue } from "./calls.ts";
import { remember } from "./autoscale.ts";
import type { Sql } from "./connect.ts";
import { numbers } from "./leases.ts";
import { containersLost, nodesLost } from "./containers.ts";
import { askFor, release } from "./provisions.ts";
import { NOTHING, type Touched, union } from "./touched.ts";
import { settleVolumes } from "./volumes.ts";
import { noteUsage } from "./workspaces.ts";

/** Priority of calls that schedules make: the default of all calls. */
const FIRE_PRIORITY = 50;

export async function commitPlan(sql: Sql, now: Date, plan: Plan): Promise<Touched> {
  const [, ...touched] = await Promise.all([
    lockNodes(sql, plan),
    giveUp(sql, now, plan),
    form(sql, now, plan.gangs),
    start(sql, now, plan.start),
    askFor(sql, now, plan.ask),
    drain(sql, plan.drainNodes),
    release(sql, now, plan.release),
    end(sql, now, plan.end),
    refuse(sql, now, plan.refuse),
    fire(sql, now, plan.fire),
    plan.due ? wakeDue(sql, now).then((functionIds) => ({ ...NOTHING, functionIds })) : NOTHING,
    plan.expired ? expireDue(sql, now).then((batchIds) => ({ ...NOTHING, batchIds })) : NOTHING,
    explain(sql, now, plan.waiting),
    noteBusy(sql, now, plan.busy),
    remember(sql, now, plan),
    noteUsage(sql, now, plan.usage).then(() => NOTHING),
  ]);
  return union(...touched);
}

/** All nodes that the plan changes, in one order, before anything that hangs on them. */
async function lockNodes(sql: Sql, plan: Plan): Promise<void> {
  const nodes = [...plan.lostNodes, ...plan.drainNodes, ...plan.start.map((one) => one.node)];
  const containers = [...plan.lostContainers, ...plan.end.map((one) => one.container)];
  const provisions = plan.release.map((one) => one.provision);
  if (nodes.length + containers.length + provisions.length === 0) return;
  await sql`
    select from node
    where id = any(${nodes}) or id in (select node_id from container where id = any(${containers}))
      or provision_id = any(${provisions})
    order by id for no key update`;
}

async function giveUp(sql: Sql, now: Date, { lostNodes, lostContainers }: Plan): Promise<Touched> {
  if (lostNodes.length + lostContainers.length === 0) return NOTHING;
  const gone = await sql<{ id: string }[]>`
    update node set state = 'lost', revision = revision + 1
    where id = any(${lostNodes as string[]}) and state = any(${
    sources(nodeMachine, "lose")
  }) and lease_until <= ${now}
    returning id`;
  const rows = await sql<{ id: string }[]>`
    select c.id from container c join node n on n.id = c.node_id
    where c.id = any(${lostContainers as string[]})
      and (n.state not in ('up', 'draining') or n.session <> c.session)`;
  const message = "The node or its runner went away";
  const lost = await containersLost(sql, now, rows.map((row) => row.id), message);
  return union(lost, await nodesLost(sql, now, gone.map((row) => row.id), message));
}

/** Gangs come before their containers. */
async function form(sql: Sql, now: Date, gangs: readonly NewGang[]): Promise<Touched> {
  if (gangs.length > 0) {
    await sql`
      insert into gang (id, function_id, size, port, created_at)
      select id, "functionId", size, port, ${now}
      from json_to_recordset(${
      JSON.stringify(gangs)
    }::text::json) as g(id text, "functionId" int, size int, port int)`;
  }
  return NOTHING;
}

async function start(sql: Sql, now: Date, all: readonly Start[]): Promise<Touched> {
  if (all.length === 0) return NOTHING;
  const starts = await withoutStrays(sql, all);
  const taken = takenBy(starts), shares = sharesOf(starts);
  const rows = await sql<{ nodeId: string }[]>`
    with wanted as (
      select * from unnest(
        ${starts.map((one) => one.id)}::text[], ${numbers(starts.map((one) => one.functionId))}::text::int[],
        ${starts.map((one) => one.deployment)}::text[], ${starts.map((one) => one.node)}::text[],
        ${starts.map((one) => one.session)}::text[], ${starts.map((one) => JSON.stringify(one.gpus))}::text[],
        ${numbers(starts.map((one) => sum(one.gpus.map(({ milli }) => milli))))}::text::int[],
        ${numbers(starts.map((one) => one.cpuMilli))}::text::int[], ${
    numbers(starts.map((one) => one.memoryMiB))
  }::text::int[],
        ${numbers(starts.map((one) => one.diskMiB))}::text::int[], ${
    starts.map(({ port }) => port === null ? null : String(port))
  }::text[], ${starts.map(volumesOf)}::text[], ${starts.map((one) => one.gang)}::text[],
        ${numbers(starts.map((one) => one.rank))}::text::int[], ${starts.map((one) => one.reason)}::text[]
      ) as w(id, function_id, deployment, node, session, gpus, gpu_milli, cpu_milli, memory_mib, disk_mib, port, volumes, gang, rank, reason)
    ),
    started as (
      insert into container (id, function_id, deployment_id, node_id, session, desired, observed, gpus, gpu_milli, cpu_milli,
        memory_mib, disk_mib, port, volume_ids, gang_id, rank, reason, created_at, busy_at)
      select w.id, w.function_id, w.deployment, w.node, w.session, 'run', 'pending', w.gpus::json, w.gpu_milli, w.cpu_milli,
        w.memory_mib, w.disk_mib, w.port::int, w.volumes::text[], w.gang, w.rank, w.reason, ${now}, ${now}
      from wanted w join node on node.id = w.node and node.session = w.session and node.state = 'up'
      returning node_id
    ),
    begun as ( -- of a node all that starts there, or nothing: a plan knows one session of it
      select distinct node_id from started
    ),
    gpus_taken as (
      update gpu set milli_free = milli_free - t.milli
      from unnest(
        ${shares.map((one) => one.node)}::text[], ${numbers(shares.map((one) => one.index))}::text::int[],
        ${numbers(shares.map((one) => one.milli))}::text::int[]) as t(node, index, milli)
        join begun on begun.node_id = t.node
      where gpu.node_id = t.node and gpu.index = t.index
    )
    update node set cpu_milli_free = cpu_milli_free - t.cpu_milli, memory_mib_free = memory_mib_free - t.memory_mib,
      disk_mib_free = disk_mib_free - t.disk_mib, revision = revision + 1
    from unnest(
      ${taken.map((one) => one.node)}::text[], ${numbers(taken.map((one) => one.cpuMilli))}::text::int[],
      ${numbers(taken.map((one) => one.memoryMiB))}::text::int[], ${
    numbers(taken.map((one) => one.diskMiB))
  }::text::int[]
    ) as t(node, cpu_milli, memory_mib, disk_mib)
      join begun on begun.node_id = t.node
    where node.id = t.node
    returning begun.node_id`;
  return { ...NOTHING, nodeIds: rows.map((row) => row.nodeId), containers: all.length };
}

/** Volumes that are used for the first time get their home; what would have started away from its own waits for the next tick. */
async function withoutStrays(sql: Sql, starts: readonly Start[]): Promise<readonly Start[]> {
  const bound = starts.filter(({ volumes }) => volumes !== undefined);
  if (bound.length === 0) return starts;
  const strays = await settleVolumes(sql, bound);
  const gangs = starts.filter(({ id }) => strays.has(id)).map(({ gang }) => gang);
  return starts.filter(({ id, gang }) => !strays.has(id) && (gang === null || !gangs.includes(gang)));
}

// Sums are taken here, and columns are sent: sums in the statement, or rows as JSON, cost more than the rest of it.

/** As PostgreSQL writes a list; ids have nothing in them that would need quotes. */
const volumesOf = ({ volumes }: Start): string | null => volumes === undefined ? null : `{${volumes.join()}}`;

/** What each node gives. */
const takenBy = (starts: readonly Start[]) =>
  [...Map.groupBy(starts, ({ node }) => node)].map(([node, here]) => ({
    node,
    cpuMilli: sum(here.map(({ cpuMilli }) => cpuMilli)),
    memoryMiB: sum(here.map(({ memoryMiB }) => memoryMiB)),
    diskMiB: sum(here.map(({ diskMiB }) => diskMiB)),
  }));

/** What each GPU gives. */
function sharesOf(starts: readonly Start[]): { node: string; index: number; milli: number }[] {
  const shares = starts.flatMap(({ node, gpus }) => gpus.map((gpu) => ({ node, ...gpu })));
  return [...Map.groupBy(shares, ({ node, index }) => `${node} ${index}`).values()].map((same) => ({
    ...same[0]!,
    milli: sum(same.map(({ milli }) => milli)),
  }));
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

async function drain(sql: Sql, nodes: readonly string[]): Promise<Touched> {
  if (nodes.length === 0) return NOTHING;
  const rows = await sql<{ id: string }[]>`
    update node set state = ${nodeMachine.up.drain}, revision = revision + 1
    where id = any(${nodes as string[]}) and state = any(${sources(nodeMachine, "drain")})
    returning id`;
  return { ...NOTHING, nodeIds: rows.map(({ id }) => id) };
}

async function end(sql: Sql, now: Date, endings: readonly Ending[]): Promise<Touched> {
  if (endings.length === 0) return NOTHING;
  const rows = await sql<{ id: string }[]>`
    with wanted as (
      select * from json_to_recordset(${JSON.stringify(endings)}::text::json) as w(
        container text, desired text, reason text, "preemptAt" float8)
    ),
    changed as (
      update container set desired = wanted.desired, reason = wanted.reason,
        draining_at = case when wanted.desired = 'drain' then ${now} else draining_at end,
        preempt_at = coalesce(to_timestamp(wanted."preemptAt" / 1000), preempt_at)
      from wanted
      where container.id = wanted.container and exited_at is null
        and container.desired = any(case wanted.desired
          when 'drain' then ${sources(desiredMachine, "drain")}::text[]
          else ${sources(desiredMachine, "stop")}::text[] end)
      returning node_id
    )
    update node set revision = revision + 1 where id in (select node_id from changed)
    returning id`;
  return { ...NOTHING, nodeIds: rows.map((row) => row.id), containers: endings.length };
}

async function refuse(sql: Sql, now: Date, refusals: readonly Refusal[]): Promise<Touched> {
  const batches = await Promise.all(
    refusals.map(({ functionId, until, failure }) =>
      failQueued(sql, now, functionId, failure, new Date(until))
    ),
  );
  return { ...NOTHING, batchIds: batches.flat() };
}

/** A schedule that was paused or fired meanwhile has another `next_at`, and is passed over. */
async function fire(sql: Sql, now: Date, fires: readonly Fire[]): Promise<Touched> {
  if (fires.length === 0) return NOTHING;
  const moves = fires.map(({ schedule: { id, nextAt: was }, nextAt, tickAt }) => ({
    id,
    was: new Date(was),
    next: nextAt && new Date(nextAt),
    last: tickAt && new Date(tickAt),
  }));
  const moved = await sql<{ id: string }[]>`
    update schedule set next_at = moves.next, last_at = coalesce(moves.last, last_at)
    from json_to_recordset(${JSON.stringify(moves)}::text::json) as moves(
      id text, was timestamptz, next timestamptz, last timestamptz)
    where schedule.id = moves.id and schedule.next_at = moves.was
    returning schedule.id`;
  const due = fires.filter(({ schedule, tickAt }) =>
    tickAt !== null && moved.some((row) => row.id === schedule.id)
  );
  if (due.length === 0) return NOTHING;
  await enqueue(sql, now, due.map(submissionOf));
  return { ...NOTHING, functionIds: due.map((one) => one.schedule.functionId) };
}

const submissionOf = ({ schedule, tickAt }: Fire): Submission => ({
  workspaceId: schedule.workspace,
  functionId: schedule.functionId,
  method: schedule.method,
  inputs: JSON.stringify([schedule.input]),
  size: 1,
  priority: FIRE_PRIORITY,
  tags: {},
  scheduleId: schedule.id,
  tickAt: new Date(tickAt!),
});

async function explain(sql: Sql, now: Date, waiting: Plan["waiting"]): Promise<Touched> {
  if (waiting.length === 0) return NOTHING;
  await sql`
    with said as (
      select * from json_to_recordset(${
    JSON.stringify(waiting)
  }::text::json) as s("functionId" int, reason text, slots int, "callMs" float8, "startsMs" float8)
    ),
    gone as (
      delete from waiting using said where waiting.function_id = said."functionId" and said.reason is null
    )
    insert into waiting (function_id, reason, since, slots, call_ms, starts_ms)
    select "functionId", reason, ${now}, slots, "callMs", "startsMs" from said where reason is not null
    on conflict (function_id) do update set reason = excluded.reason, since = excluded.since, slots = excluded.slots,
      call_ms = excluded.call_ms, starts_ms = excluded.starts_ms`;
  return NOTHING;
}

async function noteBusy(sql: Sql, now: Date, containers: readonly string[]): Promise<Touched> {
  if (containers.length > 0) {
    await sql`update container set busy_at = ${now} where id = any(${containers as string[]}) and exited_at is null`;
  }
  return NOTHING;
}
