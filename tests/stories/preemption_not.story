# Nothing is cut short in vain: two GPUs would not come free on one node, however many leave.
node n1 gpus H100
node n2 gpus H100
function train gpu H100 takes 60s preemptible
function infer gpu H100:2
call train x2 priority 20
wait 5s
  0.0s train waits: a container is starting
  0.0s start c1 of train on n1 gpu 0: 2 calls wait
  0.0s start c2 of train on n2 gpu 0: 2 calls wait
call infer priority 80
wait 5s
  5.0s infer waits: needs 2 × H100; largest node has 1
# Nor for work that is just as important.
function other gpu H100 takes 1s
call other x2 priority 20
wait 5s
  10.0s other waits: another container gives way to it
  10.0s drain c1: gives way to demo/other
  10.1s other waits: waits for a container that is leaving
# Work that may not be cut short ends its calls, and takes no more.
node n3 gpus L4
function slow gpu L4 takes 20s
function quick gpu L4 takes 1s
call slow x5 priority 20
wait 5s
  15.0s slow waits: a container is starting
  15.0s start c3 of slow on n3 gpu 0: 5 calls wait
  15.1s slow waits: 1 container is busy; for another: needs 1 × L4; largest free node has 0
call quick priority 80
wait 30s
  20.0s quick waits: another container gives way to it
  20.0s drain c3: gives way to demo/quick: priority 80 comes first
  20.1s slow waits: needs 1 × L4; largest free node has 0
  20.1s quick waits: waits for a container that is leaving
  35.1s c3 exited
  35.1s quick waits: a container is starting
  35.1s start c4 of quick on n3 gpu 0: 1 call waits
  36.2s slow waits: another container gives way to it
  36.2s drain c4: gives way to demo/slow
  36.3s c4 exited
  36.3s slow waits: a container is starting
  36.3s start c5 of slow on n3 gpu 0: 4 calls wait
  36.4s slow waits: 1 container is busy; for another: needs 1 × L4; largest free node has 0
show
  50.0s train has 2 containers: 0 wait, 2 run, 0 done
  50.0s infer has 0 containers: 1 wait, 0 run, 0 done
  50.0s other has 0 containers: 2 wait, 0 run, 0 done
  50.0s slow has 1 containers: 3 wait, 1 run, 1 done
  50.0s quick has 0 containers: 0 wait, 0 run, 1 done
