/** Everything that the invariants of `scheduler/check.ts` speak of, read from a database at one instant. */
import { violations, type World } from "../../scheduler/check.ts";
import type { Sql } from "../../scheduler/store/connect.ts";

/** What is broken in a database, in words; empty when nothing is. */
export async function auditOf(sql: Sql): Promise<string[]> {
  return violations(await readWorld(sql)).map(({ name, detail }) => `${name}: ${detail}`);
}

export async function readWorld(sql: Sql): Promise<World> {
  const [world] = await sql<[World]>`
    select
      (select coalesce(json_agg(json_build_object(
        'id', id, 'state', state, 'cpuMilli', cpu_milli, 'cpuMilliFree', cpu_milli_free, 'memoryMiB', memory_mib,
        'memoryMiBFree', memory_mib_free, 'diskMiB', disk_mib, 'diskMiBFree', disk_mib_free,
        'gpus', (select coalesce(json_agg(json_build_object(
          'index', index, 'milliFree', milli_free)), '[]') from gpu where node_id = node.id))), '[]') from node) as nodes,
      (select coalesce(json_agg(json_build_object(
        'id', id, 'deployment', deployment_id, 'max', (spec->'scale'->>'max')::int)), '[]') from function) as functions,
      (select coalesce(json_agg(json_build_object(
        'id', id, 'functionId', function_id, 'deployment', deployment_id, 'node', node_id, 'desired', desired,
        'crew', coalesce(gang_id, id), 'gpus', gpus, 'cpuMilli', cpu_milli, 'memoryMiB', memory_mib, 'diskMiB', disk_mib,
        'live', exited_at is null)), '[]') from container) as containers,
      (select coalesce(json_agg(json_build_object('id', id, 'size', size)), '[]') from batch) as batches,
      (select coalesce(json_agg(json_build_object('batch', batch_id, 'lo', lo, 'hi', hi, 'attempt', attempt)), '[]')
        from ready) as ready,
      (select coalesce(json_agg(json_build_object('id', id, 'batch', batch_id, 'lo', lo, 'hi', hi,
        'container', container_id, 'attempt', attempt, 'remaining', remaining)), '[]') from lease) as leases,
      (select coalesce(json_agg(json_build_object('lease', lease_id, 'rank', rank, 'container', container_id,
        'open', ended_at is null)), '[]') from part) as parts,
      (select coalesce(json_agg(json_build_object('batch', batch_id, 'index', idx, 'lease', lease_id)), '[]')
        from result) as results,
      (select coalesce(json_agg(json_build_object('lease', lease_id, 'index', idx, 'back', back)), '[]') from (
        select lease_id, idx, false as back from attempt union all select lease_id, idx, true from given_back
      ) gone) as over`;
  return world;
}
