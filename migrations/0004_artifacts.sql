-- Artifacts: named, numbered bytes that a workspace keeps, who made them, and the aliases that point at them.

-- One row per name. Whoever publishes, moves an alias or deletes locks it, so that all of a name happens in one order.
create table artifact_name (
  workspace_id text not null references workspace,
  name text not null,
  last_version int not null,                       -- the last one given; none is given twice, though versions are deleted
  primary key (workspace_id, name)
);

-- Bytes are kept once per workspace, under their digest. A row is there as long as a version has them.
create table artifact_blob (
  workspace_id text not null references workspace,
  digest text not null,
  size bigint not null,
  primary key (workspace_id, digest)
);

create table artifact (
  id bigint generated always as identity unique,
  workspace_id text not null,
  name text not null,
  version int not null check (version > 0),
  digest text not null,
  batch_id bigint,                                 -- the call that made it, and its attempt; null: uploaded
  idx int,
  attempt smallint,
  app text,
  function text,
  created_at timestamptz not null,
  primary key (workspace_id, name, version),
  foreign key (workspace_id, name) references artifact_name,
  foreign key (workspace_id, digest) references artifact_blob,
  check (num_nulls(batch_id, idx, attempt, app, function) in (0, 5))
);
create index artifact_digest on artifact (workspace_id, digest);

create table artifact_alias (
  workspace_id text not null,
  name text not null,
  alias text not null,
  version int not null,
  moved_at timestamptz not null,
  primary key (workspace_id, name, alias),
  foreign key (workspace_id, name, version) references artifact
);
create index artifact_alias_version on artifact_alias (workspace_id, name, version);
