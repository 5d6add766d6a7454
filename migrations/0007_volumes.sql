-- Volumes: named folders of a workspace that outlive containers. Their bytes lie on a node, or on a path that nodes share.

create table volume (
  id text primary key,                             -- names its folder: another volume of the same name never finds these bytes
  workspace_id text not null references workspace,
  name text not null,
  storage text not null check (storage in ('node', 'shared')),
  home text,                                       -- the node, or the id of the shared path, that has it; null: it was never used
  size bigint,                                     -- bytes, as a runner last measured them
  measured_at timestamptz,
  created_at timestamptz not null,
  deleted_at timestamptz                           -- it is gone for users; its bytes are still to be removed
);
create unique index volume_name on volume (workspace_id, name) where deleted_at is null;
create index volume_gone on volume (home) where deleted_at is not null;

alter table container add column volume_ids text[];  -- what it was given; null: none

-- An exec is about a container, or about the files of a volume.
alter table exec
  alter column container_id drop not null,
  add column volume_id text references volume on delete cascade,
  add check (num_nonnulls(container_id, volume_id) = 1);
