# A pool goes from zero to what is needed, and back.
pool burst gpus L4:2 max 3 joins 20s idle 30s
function infer gpu L4 takes 30s window 5s
call infer x3
wait 3m
  0.0s infer waits: a node of pool burst is starting (asked for at 2026-01-01T12:00:00.000Z, up to 1m)
  0.0s ask burst for prov1: for demo/infer
  0.0s ask burst for prov2: for demo/infer
  20.0s prov1 joined as burst-1
  20.0s prov2 joined as burst-2
  20.0s infer waits: a container is starting
  20.0s start c1 of infer on burst-1 gpu 0: 3 calls wait
  20.0s start c2 of infer on burst-1 gpu 1: 3 calls wait
  20.0s start c3 of infer on burst-2 gpu 0: 3 calls wait
  54.1s drain c1: idle
  54.1s drain c2: idle
  54.1s drain c3: idle
  54.2s c1 exited
  54.2s c2 exited
  54.2s c3 exited
  84.2s drain node burst-1
  84.2s drain node burst-2
  84.2s release prov1: its node was idle
  84.2s release prov2: its node was idle
  85.2s prov1 released
  85.2s prov2 released
show
  180.0s infer has 0 containers: 0 wait, 0 run, 3 done
# Work that comes while a node is empty keeps it.
call infer
wait 75s
  180.0s infer waits: a node of pool burst is starting (asked for at 2026-01-01T12:03:00.000Z, up to 1m)
  180.0s ask burst for prov3: for demo/infer
  200.0s prov3 joined as burst-3
  200.0s infer waits: a container is starting
  200.0s start c4 of infer on burst-3 gpu 0: 1 call waits
  234.1s drain c4: idle
  234.2s c4 exited
call infer
wait 2m
  255.0s infer waits: a container is starting
  255.0s start c5 of infer on burst-3 gpu 0: 1 call waits
  289.1s drain c5: idle
  289.2s c5 exited
  319.2s drain node burst-3
  319.2s release prov3: its node was idle
  320.2s prov3 released
show
  375.0s infer has 0 containers: 0 wait, 0 run, 5 done
