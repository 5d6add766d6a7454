-- What is needed to look into containers: the lines of those that take no calls, and sessions inside them.

create table container_log (
  container_id text not null references container,
  n bigint not null,                               -- the runner's count, so that a repeat is not a second line
  at timestamptz not null,
  stream text not null,
  text text not null,
  primary key (container_id, n)
);
