# A pool that failed is tried again with as many nodes as a gang needs at once.
pool big gpus H100:8 cpu 64 max 4 joins never timeout 20s idle 20s
function train gpu H100:8 nodes 2 takes 10s starts 2s window 2s
call train
wait 22s
  0.0s train waits: a node of pool big is starting (asked for at 2026-01-01T12:00:00.000Z, up to 20s)
  0.0s ask big for prov1: for demo/train
  0.0s ask big for prov2: for demo/train
  20.0s train waits: no node is up; pool big failed to provide a node: it did not join within 20s
  20.0s fail prov1: it did not join within 20s
  20.0s fail prov2: it did not join within 20s
  21.0s train waits: no node is up; pool big failed to provide a node: it did not join within 20s; next try at 2026-01-01T12:00:30.000Z
pool big joins 5s
wait 60s
  30.0s train waits: a node of pool big is starting (asked for at 2026-01-01T12:00:30.000Z, up to 20s)
  30.0s ask big for prov3: for demo/train
  30.0s ask big for prov4: for demo/train
  35.0s prov3 joined as big-1
  35.0s prov4 joined as big-2
  35.0s train waits: a gang is starting
  35.0s start c1 of train as rank 0 of gang1 on big-1 gpu 0 gpu 1 gpu 2 gpu 3 gpu 4 gpu 5 gpu 6 gpu 7: 1 call waits
  35.0s start c2 of train as rank 1 of gang1 on big-2 gpu 0 gpu 1 gpu 2 gpu 3 gpu 4 gpu 5 gpu 6 gpu 7: 1 call waits
  48.0s drain c1: idle
  48.0s drain c2: idle
  48.1s c1 exited
  48.1s c2 exited
  68.1s drain node big-1
  68.1s drain node big-2
  68.1s release prov3: its node was idle
  68.1s release prov4: its node was idle
  69.1s prov3 released
  69.1s prov4 released
