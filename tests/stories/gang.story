# A gang is placed all or none: with one node too few none of it is.
node n1 gpus H100:8 cpu 64
node n2 gpus H100:8 cpu 64
function train gpu H100:8 nodes 3 takes 30s starts 2s window 5s
call train
wait 2s
  0.0s train waits: needs 3 nodes at once; 2 have room
node n3 gpus H100:8 cpu 64
wait 50s
  2.0s train waits: a gang is starting
  2.0s start c1 of train as rank 0 of gang1 on n1 gpu 0 gpu 1 gpu 2 gpu 3 gpu 4 gpu 5 gpu 6 gpu 7: 1 call waits
  2.0s start c2 of train as rank 1 of gang1 on n2 gpu 0 gpu 1 gpu 2 gpu 3 gpu 4 gpu 5 gpu 6 gpu 7: 1 call waits
  2.0s start c3 of train as rank 2 of gang1 on n3 gpu 0 gpu 1 gpu 2 gpu 3 gpu 4 gpu 5 gpu 6 gpu 7: 1 call waits
  38.0s drain c1: idle
  38.0s drain c2: idle
  38.0s drain c3: idle
  38.1s c1 exited
  38.1s c2 exited
  38.1s c3 exited
show
  52.0s train has 0 containers: 0 wait, 0 run, 1 done
