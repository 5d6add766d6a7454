-- Images that the platform builds, each once for what it is made of; and which images nodes have, or had better have.

create table image (
  id text primary key,
  workspace_id text not null references workspace,
  digest text not null,                            -- SHA-256 of its Containerfile and of the files that it copies
  containerfile text not null,
  context text,                                    -- digest of a tar in `bundle`; null: it copies nothing
  secret text,                                     -- whose credentials its base is pulled with
  registry text,                                   -- the registry that these are for
  tag text not null,                               -- what it is called where it is built, and pushed to
  push boolean not null,                           -- false: it stays on its node
  rebuild boolean not null,                        -- nothing of the engine's cache is used
  state text not null check (state in ('queued', 'building', 'ready', 'failed', 'removing')),
  attempt int not null default 0,                  -- counts its builds: old news never wins
  losses int not null default 0,                   -- nodes in a row that went away while they built it
  node_id text references node,                    -- who builds it, or has
  session text,                                    -- of that node: another one knows nothing of it
  ref text,                                        -- what nodes pull
  size bigint,
  failure text,
  created_at timestamptz not null,
  asked_at timestamptz not null,                   -- when somebody last deployed it
  started_at timestamptz,
  ended_at timestamptz,
  unique (workspace_id, digest),
  check ((state = 'ready') <= (ref is not null)),
  check ((state = 'building') <= (node_id is not null and session is not null))
);
create index image_recent on image (workspace_id, created_at desc, id desc);
create index image_live on image (state, asked_at) where state in ('queued', 'building', 'removing');
create index image_node on image (node_id) where state in ('building', 'removing');

create table build_log (
  image_id text not null references image on delete cascade,
  attempt int not null,
  n int not null,                                  -- the runner's count, so that a repeat is not a second line
  at timestamptz not null,
  stream text not null,
  text text not null,
  primary key (image_id, attempt, n)
);

alter table node add column images text[];         -- that it has; null where it has no engine

-- Images that nodes are told to pull before a container needs them.
create table prefetch (
  node_id text not null references node,
  ref text not null,
  expires_at timestamptz not null,
  primary key (node_id, ref)
);
