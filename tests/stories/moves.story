# Room in pieces: an idle container that is kept warm moves aside.
node a gpus H100:2
node b gpus H100:2
function first gpu H100 takes 10s window 1s
call first
wait 1s
  0.0s first waits: a container is starting
  0.0s start c1 of first on a gpu 0: 1 call waits
function warm gpu H100 min 1
function long gpu H100 takes 20m
call long
wait 6m
  1.0s long waits: a container is starting
  1.0s start c2 of long on a gpu 1: 1 call waits
  1.0s start c3 of warm on b gpu 0: kept by scale.min
  10.1s drain c1: idle
  10.2s c1 exited
function pair gpu H100:2 takes 5s window 1s
call pair
wait 20s
  361.0s pair waits: waits for another container to move elsewhere
  361.0s drain c3: moves to a to make room for demo/pair
  361.0s start c4 of warm on a gpu 0: moves from b to make room for demo/pair
  361.1s c3 exited
  361.1s pair waits: a container is starting
  361.1s start c5 of pair on b gpu 0 gpu 1: 1 call waits
  366.2s drain c5: idle
  366.3s c5 exited
show
  381.0s first has 0 containers: 0 wait, 0 run, 1 done
  381.0s warm has 1 containers: 0 wait, 0 run, 0 done
  381.0s long has 1 containers: 0 wait, 1 run, 0 done
  381.0s pair has 0 containers: 0 wait, 0 run, 1 done
