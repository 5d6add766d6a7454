-- Blobs that nothing refers to are removed. The store is never listed for that: what lies there, or is about to, has a row here.

-- Announced before a byte of it can be written. No key is used twice, so that what is on its way out is never what is wanted anew.
create table blob (
  key text primary key,
  state text not null check (state in ('announced', 'kept', 'released', 'going')),
  upload text,                                     -- the store's name for an upload in parts
  due_at timestamptz,                              -- removed from then on; null: something refers to it
  check ((state = 'kept') = (due_at is null))
);
create index blob_due on blob (due_at) where due_at is not null;

insert into blob (key, state) select blob, 'kept' from checkpoint on conflict do nothing;

-- Bytes of artifacts and bundles are found by their digest, and lie under a key of their own.
alter table artifact_blob add column blob text;
update artifact_blob set blob = 'artifacts/' || workspace_id || '/' || digest;
alter table artifact_blob alter column blob set not null;
insert into blob (key, state) select blob, 'kept' from artifact_blob;

alter table bundle add column blob text;
update bundle set blob = 'bundles/' || digest;
alter table bundle alter column blob set not null;
create index bundle_blob on bundle (blob);
insert into blob (key, state) select distinct blob, 'kept' from bundle;

-- Large inputs, results and yields, by the batches that have them.
create table value_use (
  batch_id bigint not null,
  key text not null,
  primary key (batch_id, key)
);
create index value_use_key on value_use (key);
insert into value_use (batch_id, key)
  select distinct v.batch_id, 'values/' || b.workspace_id || '/' || (v.value->>'$blob')
  from (
    select batch_id, input as value from call where length(input::text) = 44
    union all
    select batch_id, value from result where state = 0 and length(value::text) = 44
  ) v join batch b on b.id = v.batch_id
  where v.value::text ~ '^\{"\$blob":"[0-9a-f]{32}"\}$';
insert into blob (key, state) select distinct key, 'kept' from value_use;

-- Batches that were kept long enough: their own row is gone, and what hangs on it goes bit by bit.
create table retired (
  batch_id bigint primary key
);
create index artifact_batch on artifact (batch_id) where batch_id is not null;
create index checkpoint_batch on checkpoint (batch_id) where name is null;
create index container_log_at on container_log (at);

-- A server without an image that says its port has it on the node for itself: none is placed beside another.
alter table container add column port int;
create unique index container_port on container (node_id, port) where exited_at is null and port is not null;
