-- Secrets: named sets of values, sealed before they come here. No column holds one in the clear.

create table secret (
  workspace_id text not null references workspace,
  name text not null,
  version int not null check (version > 0),        -- counts its changes, for people
  revision bigint not null,                        -- counts the changes of all secrets, so that it never falls, even where one was deleted and made anew
  keys text[] not null check (cardinality(keys) > 0),  -- the names of its values
  sealed bytea not null,                           -- the values, by a data key of this version's own: nonce, ciphertext, tag
  data_key bytea not null,                         -- that key, by a master key of the platform's: nonce, ciphertext, tag
  key_id text not null,                            -- which master key; none of them is ever in the database
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (workspace_id, name)
);
create sequence secret_revision;
create index secret_key on secret (key_id);

-- The newest change among the secrets that it was given; null: it has asked for none. When its function's secrets are newer, it is replaced.
alter table container add column secrets_revision bigint;
