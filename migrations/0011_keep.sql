-- What a node cannot take now, since its container engine is away; and what is removed once nothing needs it any more.

-- Why its container engine takes nothing now; null: it does, or there is none.
alter table node
  add column engine_away text,
  add column engine_only boolean not null default false;   -- whether functions without an image need the engine too

-- An image may be gone from its node while its registry keeps it; then `failure` says why.
alter table image drop constraint image_state_check;
alter table image add constraint image_state_check
  check (state in ('queued', 'building', 'ready', 'failed', 'removing', 'left'));

-- What ended long ago goes: containers, once no call that is kept names them, and deployments that others replaced, with their bundles.
create index container_ended on container (exited_at) where exited_at is not null;
create index container_gang on container (gang_id) where gang_id is not null;
alter table deployment add column retired boolean not null default false;   -- nothing runs by it any more, nor will
create index deployment_serving on deployment (app_id, version) where not retired;
create index deployment_retired on deployment (id) where retired;
create index deployment_digest on deployment (digest) where not retired;
create index function_deployment on function (deployment_id);
