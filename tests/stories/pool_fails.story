# The cheapest pool does not deliver: the next one is asked.
pool spot gpus L4 max 2 cost 0.5 joins never timeout 30s
pool reserve gpus L4 max 1 cost 2 joins 10s idle 20s
function infer gpu L4 takes 5s window 2s
call infer
wait 90s
  0.0s infer waits: a node of pool spot is starting (asked for at 2026-01-01T12:00:00.000Z, up to 30s)
  0.0s ask spot for prov1: for demo/infer
  30.0s infer waits: a node of pool reserve is starting (asked for at 2026-01-01T12:00:30.000Z, up to 1m)
  30.0s ask reserve for prov2: for demo/infer
  30.0s fail prov1: it did not join within 30s
  40.0s prov2 joined as reserve-1
  40.0s infer waits: a container is starting
  40.0s start c1 of infer on reserve-1 gpu 0: 1 call waits
  46.1s drain c1: idle
  46.2s c1 exited
  66.2s drain node reserve-1
  66.2s release prov2: its node was idle
  67.2s prov2 released
show
  90.0s infer has 0 containers: 0 wait, 0 run, 1 done
# Nobody delivers: the reason says what each pool said.
pool reserve joins never
call infer
wait 3m
  90.0s infer waits: a node of pool spot is starting (asked for at 2026-01-01T12:01:30.000Z, up to 30s)
  90.0s ask spot for prov3: for demo/infer
  120.0s infer waits: a node of pool reserve is starting (asked for at 2026-01-01T12:02:00.000Z, up to 1m)
  120.0s ask reserve for prov4: for demo/infer
  120.0s fail prov3: it did not join within 30s
  180.0s infer waits: a node of pool spot is starting (asked for at 2026-01-01T12:03:00.000Z, up to 30s)
  180.0s ask spot for prov5: for demo/infer
  180.0s fail prov4: it did not join within 1m
  210.0s infer waits: a node of pool reserve is starting (asked for at 2026-01-01T12:03:30.000Z, up to 1m)
  210.0s ask reserve for prov6: for demo/infer
  210.0s fail prov5: it did not join within 30s
pool spot joins 5s
wait 3m
  270.0s infer waits: a node of pool spot is starting (asked for at 2026-01-01T12:04:30.000Z, up to 30s)
  270.0s ask spot for prov7: for demo/infer
  270.0s fail prov6: it did not join within 1m
  275.0s prov7 joined as spot-1
  275.0s infer waits: a container is starting
  275.0s start c2 of infer on spot-1 gpu 0: 1 call waits
  282.0s drain c2: idle
  282.1s c2 exited
  342.1s drain node spot-1
  342.1s release prov7: its node was idle
  343.1s prov7 released
show
  450.0s infer has 0 containers: 0 wait, 0 run, 2 done
