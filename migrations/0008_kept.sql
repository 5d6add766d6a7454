-- What is left of containers that failed, for those who want to look into them: their runner keeps it for a while.

alter table container
  add kept_until timestamptz,                      -- as its runner says; null when nothing of it is kept
  add discarded_at timestamptz;                    -- somebody does not want it any more
create index container_kept on container (node_id) where kept_until is not null;
