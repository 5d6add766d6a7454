# Two gangs that each lack a rank do not wait for each other for ever.
node n1 gpus H100 cpu 8
node n2 gpus H100 cpu 8
node n3 gpus H100 cpu 8
node n4 gpus H100 cpu 8
function train gpu H100 nodes 2 takes 300s starts 1s window 5s
call train x2
wait 5s
  0.0s train waits: a gang is starting
  0.0s start c1 of train as rank 0 of gang1 on n1 gpu 0: 2 calls wait
  0.0s start c2 of train as rank 1 of gang1 on n2 gpu 0: 2 calls wait
  0.0s start c3 of train as rank 0 of gang2 on n3 gpu 0: 2 calls wait
  0.0s start c4 of train as rank 1 of gang2 on n4 gpu 0: 2 calls wait
silence n2
silence n3
wait 150s
  34.0s n2 is lost
  34.0s n3 is lost
  34.0s c2 is lost, its call waits again
  34.0s c3 is lost, its call waits again
  35.0s train waits: a gang lost a rank; for another: needs 1 × H100; largest free node has 0
  94.0s drain c1: its gang lost a rank, and there is no room for another
  94.1s c1 exited
  94.1s train waits: a gang gets another container for a rank that it lost
  94.1s start c5 of train as rank 0 of gang2 on n1 gpu 0: takes the place of a rank that its gang lost
  95.1s train waits: 1 gang is busy; for another: needs 1 × H100; largest free node has 0
show
  155.0s train has 2 containers: 1 wait, 1 run, 0 done
