-- The port of a node's runner by which gateways on other machines reach its containers, and the word that opens it: made anew by each
-- run of the runner.

alter table node
  add column relay_port int,
  add column relay_key text;
