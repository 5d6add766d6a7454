# Nodes for a gang are asked for together.
pool big gpus H100:8 cpu 64 max 4 joins 30s idle 20s
function train gpu H100:8 nodes 3 takes 30s starts 2s window 2s
call train
wait 3m
  0.0s train waits: a node of pool big is starting (asked for at 2026-01-01T12:00:00.000Z, up to 1m)
  0.0s ask big for prov1: for demo/train
  0.0s ask big for prov2: for demo/train
  0.0s ask big for prov3: for demo/train
  30.0s prov1 joined as big-1
  30.0s prov2 joined as big-2
  30.0s prov3 joined as big-3
  30.0s train waits: a gang is starting
  30.0s start c1 of train as rank 0 of gang1 on big-1 gpu 0 gpu 1 gpu 2 gpu 3 gpu 4 gpu 5 gpu 6 gpu 7: 1 call waits
  30.0s start c2 of train as rank 1 of gang1 on big-2 gpu 0 gpu 1 gpu 2 gpu 3 gpu 4 gpu 5 gpu 6 gpu 7: 1 call waits
  30.0s start c3 of train as rank 2 of gang1 on big-3 gpu 0 gpu 1 gpu 2 gpu 3 gpu 4 gpu 5 gpu 6 gpu 7: 1 call waits
  63.0s drain c1: idle
  63.0s drain c2: idle
  63.0s drain c3: idle
  63.1s c1 exited
  63.1s c2 exited
  63.1s c3 exited
  83.1s drain node big-1
  83.1s drain node big-2
  83.1s drain node big-3
  83.1s release prov1: its node was idle
  83.1s release prov2: its node was idle
  83.1s release prov3: its node was idle
  84.1s prov1 released
  84.1s prov2 released
  84.1s prov3 released
show
  180.0s train has 0 containers: 0 wait, 0 run, 1 done
# One too many for the pool.
function huge gpu H100:8 nodes 5
call huge
wait 2s
  180.0s huge waits: no node is up; pool big is at its max of 4 nodes but for 4, and 5 are needed
