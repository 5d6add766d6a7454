-- What is needed to look into containers: the lines of those that take no calls, and sessions inside them.

create table container_log (
  container_id text not null references container,
  n bigint not null,                               -- the runner's count, so that a repeat is not a second line
  at timestamptz not null,
  stream text not null,
  text text not null,
  primary key (container_id, n)
);

-- Commands to run inside containers, while they go on. The process that holds the client's connection made it, and removes it.
create table exec (
  id text primary key,
  container_id text not null references container,
  node_id text not null references node,
  command json not null,                           -- {command, tty?}
  expires_at timestamptz not null                  -- should that process die before it has removed it
);
create index exec_node on exec (node_id);
