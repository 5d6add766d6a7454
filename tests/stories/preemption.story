# More important work cuts short what may be: notice, checkpoint, and on again from there.
node n1 gpus H100:2
function train gpu H100 takes 60s preemptible notice 10s saves 3s
function infer gpu H100:2 takes 4s window 2s
call train x2 priority 20
wait 30s
  0.0s train waits: a container is starting
  0.0s start c1 of train on n1 gpu 0: 2 calls wait
  0.0s start c2 of train on n1 gpu 1: 2 calls wait
call infer priority 80
wait 20s
  30.0s infer waits: 2 containers give way to it
  30.0s drain c1 within 10s: gives way to demo/infer: priority 80 comes before 20
  30.0s drain c2 within 10s: gives way to demo/infer: priority 80 comes before 20
  30.1s infer waits: waits for a container that gives way, by 2026-01-01T12:00:40.000Z at the latest
  33.0s c1 saved its work and gave back its call
  33.0s c1 exited
  33.0s c2 saved its work and gave back its call
  33.0s c2 exited
  33.0s train waits: needs 1 × H100; largest free node has 0
  33.0s infer waits: a container is starting
  33.0s start c3 of infer on n1 gpu 0 gpu 1: 1 call waits
  37.1s train waits: another container gives way to it
  37.1s drain c3: gives way to demo/train
  37.2s c3 exited
  37.2s train waits: a container is starting
  37.2s start c4 of train on n1 gpu 0: 2 calls wait
  37.2s start c5 of train on n1 gpu 1: 2 calls wait
show
  50.0s train has 2 containers: 0 wait, 2 run, 0 done
  50.0s infer has 0 containers: 0 wait, 0 run, 1 done
# What gave way is left in peace for ten minutes: it does not do so again.
call infer priority 80
wait 20s
  50.0s infer waits: 2 containers give way to it
  50.0s drain c4: gives way to demo/infer: priority 80 comes first
  50.0s drain c5: gives way to demo/infer: priority 80 comes first
  50.1s infer waits: waits for a container that is leaving
  64.4s c4 exited
  64.4s c5 exited
  64.4s infer waits: a container is starting
  64.4s start c6 of infer on n1 gpu 0 gpu 1: 1 call waits
  69.5s drain c6: idle
  69.6s c6 exited
show
  70.0s train has 0 containers: 0 wait, 0 run, 2 done
  70.0s infer has 0 containers: 0 wait, 0 run, 2 done
wait 60s
show
  130.0s train has 0 containers: 0 wait, 0 run, 2 done
  130.0s infer has 0 containers: 0 wait, 0 run, 2 done
