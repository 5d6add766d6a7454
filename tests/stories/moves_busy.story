# Work that may be cut short moves, from its checkpoint, for work that is as important.
node a gpus H100:2
node b gpus H100:2
function first gpu H100 takes 10s window 1s
function train gpu H100 takes 20m preemptible saves 2s
function long gpu H100 takes 20m
call first
call train
wait 1s
  0.0s first waits: a container is starting
  0.0s train waits: a container is starting
  0.0s start c1 of first on a gpu 0: 1 call waits
  0.0s start c2 of train on a gpu 1: 1 call waits
call long
wait 6m
  1.0s long waits: a container is starting
  1.0s start c3 of long on b gpu 0: 1 call waits
  10.1s drain c1: idle
  10.2s c1 exited
function pair gpu H100:2 takes 5s window 1s
call pair
wait 20s
  361.0s pair waits: waits for another container to move elsewhere
  361.0s drain c2 within 30s: moves to b to make room for demo/pair
  361.0s start c4 of train on b gpu 1: moves from a to make room for demo/pair
  361.1s pair waits: waits for a container that gives way, by 2026-01-01T12:06:31.000Z at the latest
  363.0s c2 saved its work and gave back its call
  363.0s c2 exited
  363.0s pair waits: a container is starting
  363.0s start c5 of pair on a gpu 0 gpu 1: 1 call waits
  368.1s drain c5: idle
  368.2s c5 exited
show
  381.0s first has 0 containers: 0 wait, 0 run, 1 done
  381.0s train has 1 containers: 0 wait, 1 run, 0 done
  381.0s long has 1 containers: 0 wait, 1 run, 0 done
  381.0s pair has 0 containers: 0 wait, 0 run, 1 done
