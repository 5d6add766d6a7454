/**
 * What the tick decides on, in one statement: so it is one instant, in which no call is between its places. It reads
 * ranges, leases and live containers; of results only a handful per function that has a queue.
 */
import { type Snapshot, STUCK_MS } from "../model.ts";
import type { Sql } from "./connect.ts";
import { type SnapshotRow, toSnapshot } from "./rows.ts";

/** Starts that failed longer ago are forgiven. Longer than the largest back-off by far. */
const FAILURES_MS = 10 * 60_000;
/** Word of a gateway that has not repeated it for this long is void: the gateway is gone. */
export const TRAFFIC_STALE_MS = 30_000;

/** What a scheduler brings along from its earlier ticks. */
export interface Past {
  /** The newest lease of the tick before: containers leased to since then have worked. Null when there was none. */
  readonly lastLease: number | null;
  readonly hearingSince: number;
}

export async function readSnapshot(
  sql: Sql,
  now: Date,
  { lastLease, hearingSince }: Past,
): Promise<Snapshot> {
  const leaseAfter = lastLease ?? Number.MAX_SAFE_INTEGER;
  const before = (ms: number) => new Date(now.getTime() - ms);
  const [row] = await sql<[SnapshotRow]>`
    with
    queued as ( -- ready_claim
      select function_id, sum(hi - lo)::int as calls, min(since) as since, max(priority) as priority, min(batch_id) as first_batch
      from ready where due_at is null
      group by function_id
    ),
    held as materialized ( -- lease_open_function
      select function_id, container_id, sum(remaining)::int as calls, min(leased_at) as since, min(batch_id) as first_batch,
        coalesce(sum(remaining) filter (where leased_at < ${before(STUCK_MS)}), 0)::int as stuck
      from lease where remaining > 0
      group by function_id, container_id
    ),
    leased as materialized (
      select function_id, sum(calls)::int as calls, min(since) as since, min(first_batch) as first_batch, sum(stuck)::int as stuck
      from held
      group by function_id
    ),
    worked as materialized (
      select container_id, max(leased_at) as at
      from (select container_id, leased_at from lease where id > ${leaseAfter} order by id desc limit 50000) l
      group by container_id
    ),
    live as ( -- container_live
      select c.*, d.digest
      from container c join deployment d on d.id = c.deployment_id
      where c.exited_at is null
    ),
    traffic as (
      select function_id, sum(in_flight)::int as in_flight, sum(waiting)::int as waiting, min(oldest_at) as oldest_at,
        max(active_at) as active_at
      from demand where updated_at > ${before(TRAFFIC_STALE_MS)}
      group by function_id
    ),
    present as (
      select function_id as id from queued
      union select function_id from leased
      union select function_id from live
      union select function_id from traffic where in_flight + waiting > 0
      union select function_id from waiting
      union select id from function where removed_at is null and (spec->'scale'->>'min')::int > 0 -- function_kept
    ),
    pace as materialized ( -- calls that ended last before the oldest that has not, a few of each batch
      select queued.function_id, avg(extract(epoch from r.ended_at - r.started_at) * 1000)::float8 as call_ms
      from queued
      left join leased using (function_id)
      cross join lateral ( -- batch_function; ordered by both columns, or the planner may walk the primary key instead
        select function_id, id from batch
        where (batch.function_id, batch.id) <=
          (queued.function_id, least(queued.first_batch, coalesce(leased.first_batch, queued.first_batch)))
        order by batch.function_id desc, batch.id desc limit 8
      ) b
      cross join lateral (
        select started_at, ended_at from result
        where result.batch_id = b.id and state <= 1 and started_at is not null
        order by idx desc limit 4
      ) r
      where b.function_id = queued.function_id
      group by queued.function_id
    ),
    started as ( -- container_recent
      select function_id, deployment_id, created_at, ready_at, exited_at, exit
      from container
      order by created_at desc, id desc limit 500
    ),
    failures as materialized ( -- containers of one tick have one created_at, and count once
      select function_id, deployment_id, count(distinct created_at)::int as count, max(exited_at) as last_at,
        (array_agg(exit->>'message' order by exited_at desc))[1] as message
      from started
      where created_at > ${before(FAILURES_MS)} and ready_at is null and exited_at is not null
        and exit->>'kind' not in ('stopped', 'cancelled', 'node_lost')
        and not exists (
          select from started later
          where later.function_id = started.function_id and later.deployment_id = started.deployment_id
            and later.ready_at > started.exited_at
        )
      group by function_id, deployment_id
    )
    select
      (select coalesce(json_agg(json_build_object(
        'id', f.id, 'app', app.name, 'name', f.name, 'deployment', f.deployment_id, 'digest', d.digest,
        'removed', f.removed_at is not null or app.deleted_at is not null,
        'spec', json_build_object('gpu', f.spec->'gpu', 'cpu', f.spec->'cpu', 'memory', f.spec->'memory',
          'timeout', f.spec->'timeout', 'startTimeout', f.spec->'startTimeout', 'concurrency', f.spec->'concurrency',
          'scale', f.spec->'scale'),
        'queued', (select row_to_json(queued) from queued where queued.function_id = f.id),
        'leased', (select row_to_json(leased) from leased where leased.function_id = f.id),
        'traffic', (select row_to_json(traffic) from traffic where traffic.function_id = f.id),
        'callMs', (select call_ms from pace where pace.function_id = f.id),
        'failures', (select row_to_json(failures) from failures
          where failures.function_id = f.id and failures.deployment_id = f.deployment_id),
        'lastExitAt', (select max(exited_at) from started where started.function_id = f.id),
        'waiting', (select reason from waiting where waiting.function_id = f.id)
      ) order by f.id), '[]')
        from present
        join function f using (id)
        join app on app.id = f.app_id
        join deployment d on d.id = f.deployment_id
      ) as functions,
      (select coalesce(json_agg(json_build_object(
        'id', live.id, 'functionId', function_id, 'deployment', deployment_id, 'digest', digest, 'node', node_id,
        'session', session, 'desired', desired, 'observed', observed, 'gpus', gpus, 'cpuMilli', cpu_milli,
        'memoryMiB', memory_mib, 'createdAt', created_at, 'busyAt', busy_at, 'drainingAt', draining_at,
        'leased', (select coalesce(sum(held.calls), 0) from held where held.container_id = live.id),
        'leasedAt', (select at from worked where worked.container_id = live.id)
      ) order by live.id), '[]') from live) as containers,
      (select coalesce(json_agg(json_build_object(
        'id', id, 'session', session, 'state', state, 'leaseUntil', lease_until, 'cpuMilli', cpu_milli,
        'cpuMilliFree', cpu_milli_free, 'memoryMiB', memory_mib, 'memoryMiBFree', memory_mib_free,
        'gpus', (select coalesce(json_agg(json_build_object('index', index, 'model', model, 'milliFree', milli_free)
          order by index), '[]') from gpu where gpu.node_id = node.id)
      ) order by id), '[]')
        from node where state in ('up', 'draining') or id in (select node_id from live)
      ) as nodes,
      (select coalesce(json_agg(json_build_object(
        'id', s.id, 'functionId', s.function_id, 'workspace', app.workspace_id, 'method', s.method, 'cron', s.cron,
        'timeZone', s.time_zone, 'input', s.input, 'nextAt', s.next_at
      ) order by s.id), '[]')
        from schedule s -- schedule_next
        join function f on f.id = s.function_id
        join app on app.id = f.app_id
        where s.next_at <= ${now}
      ) as schedules,
      (select min(next_at) from schedule) as next_schedule_at,
      (select min(due_at) from ready) as next_due_at,
      (select min(expires_at) from ready) as next_expiry_at,
      (select coalesce(max(id), 0) from lease) as last_lease`;
  return toSnapshot(row, hearingSince);
}
