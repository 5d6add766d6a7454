-- What a node cannot take now, since its container engine is away; and what is removed once nothing needs it any more.

-- Why its container engine takes nothing now; null: it does, or there is none.
alter table node
  add column engine_away text,
  add column engine_only boolean not null default false;   -- whether functions without an image need the engine too

-- An image may be gone from its node while its registry keeps it; then `failure` says why.
alter table image drop constraint image_state_check;
alter table image add constraint image_state_check
  check (state in ('queued', 'building', 'ready', 'failed', 'removing', 'left'));
