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
    levels as (
      select function_id, priority, sum(hi - lo)::int as calls, min(since) as since, min(batch_id) as first_batch
      from (
        select * from ready where due_at is null and concurrency_key is null -- ready_claim
        union all
        select * from ready where due_at is null and concurrency_key is not null -- ready_keyed
      ) waits
      group by function_id, priority
    ),
    queued as (
      select function_id, sum(calls)::int as calls, min(since) as since, max(priority) as priority, min(first_batch) as first_batch,
        json_agg(json_build_object('priority', priority, 'queued', calls, 'since', since) order by priority desc) as levels
      from levels
      group by function_id
    ),
    keyed as materialized ( -- ready_key, lease_key: calls beyond the free places of their concurrency key
      select function_id, sum(greatest(0, calls - greatest(0, places - running)))::int as calls
      from (
        select ready.function_id, sum(hi - lo) as calls,
          (select coalesce((function.spec->>'concurrencyPerKey')::int, 1) from function where id = ready.function_id) as places,
          (select coalesce(sum(remaining), 0) from lease
           where lease.function_id = ready.function_id and lease.concurrency_key = ready.concurrency_key and remaining > 0) as running
        from ready where due_at is null and concurrency_key is not null
        group by ready.function_id, ready.concurrency_key
      ) k
      group by function_id
    ),
    held as materialized ( -- lease_open_function
      select function_id, container_id, sum(remaining)::int as calls, min(leased_at) as since, min(batch_id) as first_batch,
        coalesce(sum(remaining) filter (where leased_at < ${before(STUCK_MS)}), 0)::int as stuck,
        max(priority) as priority, max(preempted_at) as preempted_at
      from lease where remaining > 0
      group by function_id, container_id
    ),
    leased as materialized (
      select function_id, sum(calls)::int as calls, min(since) as since, min(first_batch) as first_batch, sum(stuck)::int as stuck
      from held
      group by function_id
    ),
    worked as materialized (
      select container_id, function_id, max(leased_at) as at
      from (select container_id, function_id, leased_at from lease where id > ${leaseAfter} order by id desc limit 50000) l
      group by container_id, function_id
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
    active as materialized (
      select function_id from queued
      union select function_id from leased
      union select function_id from traffic where in_flight + waiting > 0
    ),
    present as (
      select function_id as id from queued
      union select function_id from leased
      union select function_id from live
      union select function_id from traffic where in_flight + waiting > 0
      union select function_id from waiting
      union select function_id from arrival where keep_until > ${now} and load_at <= ${now} -- arrival_keep
      union select id from function where removed_at is null and (spec->'scale'->>'min')::int > 0 -- function_kept
    ),
    pictured as (
      select distinct spec->'image'->>'ref' as ref
      from function where id in (select id from present) and spec->'image' is not null
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
      select function_id, deployment_id, node_id, gang_id, created_at, ready_at, exited_at, exit
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
        'id', f.id, 'workspace', app.workspace_id, 'app', app.name, 'name', f.name, 'deployment', f.deployment_id,
        'digest', coalesce(f.spec->'image'->>'ref', d.digest), -- of the two the image takes longer to come
        'removed', f.removed_at is not null or app.deleted_at is not null,
        'spec', json_build_object('gpu', f.spec->'gpu', 'cpu', f.spec->'cpu', 'memory', f.spec->'memory',
          'disk', f.spec->'disk', 'labels', f.spec->'labels', 'image', f.spec->'image', 'server', f.spec->'server',
          'nodes', f.spec->'nodes', 'preemptible', f.spec->'preemptible', 'preemptNotice', f.spec->'preemptNotice',
          'timeout', f.spec->'timeout', 'startTimeout', f.spec->'startTimeout', 'concurrency', f.spec->'concurrency',
          'scale', f.spec->'scale'),
        'queued', (select row_to_json(queued) from queued where queued.function_id = f.id),
        'keyed', (select calls from keyed where keyed.function_id = f.id),
        'leased', (select row_to_json(leased) from leased where leased.function_id = f.id),
        'traffic', (select row_to_json(traffic) from traffic where traffic.function_id = f.id),
        'callMs', (select call_ms from pace where pace.function_id = f.id),
        'failures', (select row_to_json(failures) from failures
          where failures.function_id = f.id and failures.deployment_id = f.deployment_id),
        'lastExitAt', (select max(exited_at) from started where started.function_id = f.id),
        'startMs', (select avg(extract(epoch from ready_at - started.created_at) * 1000)::float8 from started
          where started.function_id = f.id and ready_at is not null),
        'activity', (select json_build_object('idleAt', idle_at, 'loadAt', load_at, 'keepUntil', keep_until,
            'history', case when (idle_at is null) <> (f.id in (select function_id from active))
              or idle_at < (select max(at) from worked where worked.function_id = f.id)
              or idle_at < (select active_at from traffic where traffic.function_id = f.id) then history end)
          from arrival where arrival.function_id = f.id),
        'wantedBefore', (select wanted from scaling
          where scaling.function_id = f.id and inputs->>'kind' = 'scale' order by seq desc limit 1), -- scaling_function
        'secretsRevision', case when json_array_length(f.spec->'secrets') > 0 then (select max(revision) from secret
          where secret.workspace_id = app.workspace_id
            and secret.name in (select ref->>'name' from json_array_elements(f.spec->'secrets') ref)) end,
        'volumes', case when f.spec->>'volumes' <> '{}' then (
          select json_agg(json_build_object(
            'name', mounted.ref->>'name', 'id', volume.id, 'storage', volume.storage, 'home', volume.home,
            'node', (select name from node where node.id = volume.home)) order by mounted.path)
          from json_each(f.spec->'volumes') mounted(path, ref)
          left join volume on volume.workspace_id = app.workspace_id and volume.name = mounted.ref->>'name' -- volume_name
            and volume.deleted_at is null) end,
        'said', (select row_to_json(waiting) from waiting where waiting.function_id = f.id)
      ) order by f.id), '[]')
        from present
        join function f using (id)
        join app on app.id = f.app_id
        join deployment d on d.id = f.deployment_id
      ) as functions,
      (select coalesce(json_agg(json_build_object(
        'id', live.id, 'functionId', function_id, 'deployment', deployment_id, 'digest', digest, 'node', node_id,
        'session', session, 'desired', desired, 'observed', observed, 'gpus', gpus, 'cpuMilli', cpu_milli,
        'memoryMiB', memory_mib, 'diskMiB', disk_mib, 'port', port, 'gang', gang_id, 'rank', rank, 'createdAt', created_at, 'busyAt', busy_at,
        'drainingAt', draining_at, 'preemptAt', preempt_at, 'secretsRevision', secrets_revision,
        'leased', (select coalesce(sum(held.calls), 0) from held where held.container_id = live.id),
        'priority', (select max(held.priority) from held where held.container_id = live.id),
        'preemptedAt', (select max(held.preempted_at) from held where held.container_id = live.id),
        'leasedAt', (select at from worked where worked.container_id = live.id)
      ) order by live.id), '[]') from live) as containers,
      (select json_build_object( -- column by column: in a cluster of thousands, objects took three times as long
        'id', json_agg(id), 'session', json_agg(session), 'pool', json_agg(pool), 'state', json_agg(state),
        'cordoned', json_agg(cordoned), 'engineAway', json_agg(engine_away), 'provision', json_agg(provision_id), 'emptiedAt', json_agg(emptied_at),
        'leaseUntil', json_agg(lease_until), 'cpuMilli', json_agg(cpu_milli), 'cpuMilliFree', json_agg(cpu_milli_free),
        'memoryMiB', json_agg(memory_mib), 'memoryMiBFree', json_agg(memory_mib_free), 'diskMiB', json_agg(disk_mib),
        'diskMiBFree', json_agg(disk_mib_free), 'labels', json_agg(labels), 'costPerHour', json_agg(cost_per_hour),
        'cached', json_agg(cached), 'gpus', json_agg(gpus))
        from (
          select node.id, node.session, node.pool, node.state, cordoned, provision_id, coalesce(emptied_at, joined_at) as emptied_at,
            case when engine_away is not null then case when engine_only then 'all' else 'images' end end as engine_away,
            lease_until, cpu_milli, cpu_milli_free, memory_mib, memory_mib_free, disk_mib, disk_mib_free, labels, pool.cost_per_hour,
            coalesce(cache.digests, '[]') as cached, fitted.gpus
          from node
          join pool on pool.name = node.pool
          left join (
            select node_id, json_build_object(
              'index', json_agg(index order by index), 'model', json_agg(model order by index),
              'vramMiB', json_agg(vram_mib order by index), 'milliFree', json_agg(milli_free order by index),
              'healthy', json_agg(healthy and taken_out is null order by index)) as gpus
            from gpu group by node_id
          ) fitted on fitted.node_id = node.id
          left join (
            select node_id, json_agg(distinct digest) as digests
            from (
              select node_id, coalesce(f.spec->'image'->>'ref', d.digest) as digest
              from started
              join deployment d on d.id = started.deployment_id
              join function f on f.id = started.function_id
              union all
              select node.id, pictured.ref from pictured join node on pictured.ref = any(node.images)
            ) has
            group by node_id
          ) cache on cache.node_id = node.id
          where node.state in ('up', 'draining') or id in (select node_id from live)
            or (node.state = 'lost' and provision_id in (select id from provision where ended_at is null)) -- provision_live
          order by node.id
        ) seen
      ) as nodes,
      (select coalesce(json_agg(json_build_object(
        'id', id, 'functionId', function_id, 'size', size, 'port', port, 'createdAt', created_at,
        'brokenAt', (select max(exited_at) from started where started.gang_id = gang.id)
      ) order by id), '[]')
        from gang where id in (select gang_id from live)
      ) as gangs,
      (select coalesce(json_agg(json_build_object(
        'id', w.id, 'weight', weight, 'gpuQuotaMilli', gpu_quota_milli, 'gpuLimitMilli', gpu_limit_milli,
        'cpuQuotaMilli', cpu_quota_milli, 'cpuLimitMilli', cpu_limit_milli, 'used', coalesce(u.gpu_seconds, 0), 'usedAt', u.at, 'day', w.day
      ) order by w.id), '[]')
        from workspace w left join workspace_usage u on u.workspace_id = w.id
        where w.id in (select app.workspace_id from present join function f using (id) join app on app.id = f.app_id)
      ) as workspaces,
      (select coalesce(json_agg(json_build_object(
        'name', name, 'state', state, 'provider', provider, 'min', min_nodes, 'max', max_nodes, 'shape', shape,
        'costPerHour', cost_per_hour, 'idleTimeoutMs', idle_timeout_ms, 'provisionTimeoutMs', provision_timeout_ms,
        'failures', (
          select json_build_object('count', count(distinct requested_at), 'last_at', max(ended_at), -- of one tick: once
            'message', (array_agg(error order by ended_at desc))[1])
          from provision
          where provision.pool = pool.name and state = 'failed' and ended_at > ${before(FAILURES_MS)}
            and requested_at > (select coalesce(max(requested_at), '-infinity') from provision joined
              where joined.pool = pool.name and joined.node_id is not null)
          having count(*) > 0
        )
      ) order by name), '[]')
        from pool where state <> 'deleted'
      ) as pools,
      (select coalesce(json_agg(json_build_object(
        'id', id, 'pool', pool, 'state', state, 'node', node_id, 'requestedAt', requested_at, 'deadlineAt', deadline_at
      ) order by id), '[]')
        from provision where ended_at is null -- provision_live
      ) as provisions,
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
      (select min(load_at) from arrival where keep_until > ${now} and load_at > ${now}) as next_load_at, -- arrival_keep
      (select coalesce(max(id), 0) from lease) as last_lease`;
  return toSnapshot(row, hearingSince);
}
