-- What the scheduler needs to share, to grow and to explain: quotas and usage of workspaces, pools that ask for nodes, gangs,
-- preemption, concurrency keys, and the memory of the autoscaler.

-- Shares. Quotas are guaranteed amounts; what others leave free may be borrowed up to the limit, and is reclaimed by preemption.
alter table workspace
  add column weight int not null default 100 check (weight between 1 and 10000),   -- relative to other workspaces
  add column gpu_quota_milli int check (gpu_quota_milli >= 0),                     -- null: no quota
  add column gpu_limit_milli int check (gpu_limit_milli >= 0),                     -- null: no limit
  add column cpu_quota_milli int check (cpu_quota_milli >= 0),
  add column cpu_limit_milli int check (cpu_limit_milli >= 0),
  add column queued_limit int check (queued_limit >= 0);                           -- calls that may wait

-- GPU-seconds used of late, decaying with a half-life; as of `at`.
create table workspace_usage (
  workspace_id text primary key references workspace,
  gpu_seconds double precision not null,
  at timestamptz not null
);

-- Calls with a concurrency key: at most `concurrencyPerKey` of the function's run at once for each key.
alter table batch add column concurrency_key text;
alter table ready
  add column concurrency_key text,
  add column preempted_at timestamptz;               -- its last attempt gave way then; it is spared for a while
alter table lease
  add column priority smallint not null default 50,
  add column concurrency_key text,
  add column preempted_at timestamptz;
update lease set priority = batch.priority from batch where batch.id = lease.batch_id and remaining > 0;
create index lease_key on lease (function_id, concurrency_key) where remaining > 0 and concurrency_key is not null;
-- Calls with a key lie in indexes of their own: a claim of those without never meets one, and pays for none.
drop index ready_claim;
create index ready_claim on ready (function_id, priority desc, batch_id, lo) where due_at is null and concurrency_key is null;
create index ready_keyed on ready (function_id, priority desc, batch_id, lo) where due_at is null and concurrency_key is not null;
create index ready_key on ready (function_id, concurrency_key, priority desc, batch_id, lo)
  where due_at is null and concurrency_key is not null;
create index ready_delayed on ready (function_id) where due_at is not null;

-- Pools: how nodes come and go.
alter table pool drop constraint pool_provider_check;
alter table pool
  add column state text not null default 'active' check (state in ('active', 'draining', 'deleted')),
  add column min_nodes int not null default 0 check (min_nodes >= 0),
  add column max_nodes int not null default 0 check (max_nodes >= min_nodes),      -- that the provider may be asked for
  add column shape json,                             -- of one of its nodes: {cpu, memory, disk, gpus, labels}; null: unknown, never asked for
  add column cost_per_hour double precision not null default 0,
  add column idle_timeout_ms bigint not null default 300000,
  add column provision_timeout_ms bigint not null default 300000,
  add column config json not null default '{}',      -- the provider's own
  add column keeper text,                            -- the process that starts and stops its nodes, for as long as
  add column keeper_until timestamptz;               -- it says so again in time

-- A node that a pool's provider was asked for, from the request to its end.
create table provision (
  id text primary key,
  pool text not null references pool,
  state text not null check (state in ('requested', 'starting', 'joined', 'releasing', 'released', 'failed')),
  node_id text references node,
  external text,                                     -- the provider's name for it
  reason text not null,
  error text,
  requested_at timestamptz not null,
  deadline_at timestamptz not null,                  -- not joined by then, it has failed
  ended_at timestamptz,
  check ((state in ('released', 'failed')) = (ended_at is not null))
);
create index provision_live on provision (pool) where ended_at is null;
create index provision_recent on provision (requested_at desc, id desc);

alter table join_token add column provision_id text references provision;   -- the node that joins with it is that one

alter table node
  add column provision_id text references provision,
  add column address text,                           -- where other nodes reach it
  add column labels jsonb not null default '{}',
  add column disk_mib int not null default 0,
  add column disk_mib_free int not null default 0,
  add column cordoned boolean not null default false,                              -- nothing new is placed on it
  add column emptied_at timestamptz,                 -- when its last container left, or it joined
  add constraint node_disk_mib_free_check check (disk_mib_free between 0 and disk_mib);

alter table gpu
  add column healthy boolean not null default true,  -- what its runner says
  add column ailment text,                           -- what is wrong with it
  add column taken_out text;                         -- by an operator, and why; it is used only when this is null

-- Gangs: containers of one function on distinct nodes that run each call together, as ranks 0 to size - 1.
create table gang (
  id text primary key,
  function_id int not null references function,
  size int not null check (size > 1),
  port int not null,                                 -- where rank 0 listens for the others
  created_at timestamptz not null
);
alter table container
  add column gang_id text,
  add column rank int not null default 0,
  add column disk_mib int not null default 0,
  add column preempt_at timestamptz;                 -- it drains, and is stopped then: the end of its notice
create unique index container_rank on container (gang_id, rank) where exited_at is null and gang_id is not null;

-- What one rank of a gang has of a leased call. The gang's own lease is sent to nobody: its exchange is 0. Each rank is sent its part,
-- and reports, logs and checkpoints then name the part's id where others name a lease. Those ids lie above all leases', so that
-- runners need not tell them apart and the api can without looking.
create table part (
  id bigint generated always as identity (start with 4503599627370496) primary key,
  lease_id bigint not null,
  rank int not null,
  container_id text not null,
  node_id text not null,
  address text not null,                             -- where rank 0 listens
  port int not null,
  exchange bigint,                                   -- in whose reply it was sent; null: not yet
  sent_at timestamptz,
  ended_at timestamptz,
  outcome smallint check (outcome between 0 and 3),  -- as in reports: 0 succeeded, 1 failed, 2 cancelled, 3 never started
  failure json,
  started_at timestamptz,
  cpu_us bigint not null default 0,
  unique (lease_id, rank),
  check ((ended_at is null) = (outcome is null))
);
create index part_open_container on part (container_id) where ended_at is null;
create index part_open_node on part (node_id) where ended_at is null;

-- Memory of the autoscaler: when each function had work, summed up; and what was decided from what.
create table arrival (
  function_id int primary key references function,
  history json not null,
  idle_at timestamptz,                               -- since when it has no work; null: it has
  load_at timestamptz,                               -- from when until when it is to be loaded without any
  keep_until timestamptz,
  updated_at timestamptz not null,
  check ((idle_at is null) = (load_at is null) and (idle_at is null) = (keep_until is null))
);
create index arrival_keep on arrival (keep_until) where keep_until is not null;
alter table workspace add column day json;           -- when in the day its functions have work
create table scaling (
  seq bigint generated always as identity primary key,
  function_id int not null references function,
  at timestamptz not null,
  inputs json not null,
  wanted int not null,
  reason text not null
);
create index scaling_function on scaling (function_id, seq desc);
create index scaling_at on scaling (at);

-- From which the time is estimated that a waiting call has to wait.
alter table waiting
  add column slots int,                              -- that work on the queue now, or will
  add column call_ms double precision,
  add column starts_ms double precision;             -- until they do, at the time of writing

-- A tick may start thousands of containers, all from rows that it has just read in the same transaction and that are never deleted:
-- asking for each of them again took a third of its writing.
alter table container
  drop constraint container_function_id_fkey,
  drop constraint container_deployment_id_fkey,
  drop constraint container_node_id_fkey;
alter table gpu set (fillfactor = 50);
alter table node set (fillfactor = 50);
