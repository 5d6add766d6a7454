# A workspace never has more than its limit, whoever else has nothing to do.
workspace a limit 2
node n1 gpus H100:4
function train workspace a gpu H100 takes 5s
call train x4
wait 3s
  0.0s train waits: a container is starting
  0.0s start c1 of train on n1 gpu 0: 4 calls wait
  0.0s start c2 of train on n1 gpu 1: 4 calls wait
  0.1s train waits: 2 containers are busy; for another: its workspace uses 2 of its limit of 2 GPUs
# Within its limit its functions take turns like others.
function other workspace a gpu H100 takes 1s
call other
wait 20s
  3.0s other waits: another container gives way to it
  3.0s drain c1: gives way to demo/other
  3.1s train waits: 1 container is busy; for another: its workspace uses 2 of its limit of 2 GPUs
  3.1s other waits: waits for a container that is leaving
  5.1s c1 exited
  5.1s other waits: a container is starting
  5.1s start c3 of other on n1 gpu 0: 1 call waits
  6.2s train waits: 1 container is busy; for another: another container gives way to it
  6.2s drain c3: gives way to demo/train
  6.3s c3 exited
  6.3s train waits: a container is starting
  6.3s start c4 of train on n1 gpu 0: 1 call waits
show
  23.0s train has 2 containers: 0 wait, 0 run, 4 done
  23.0s other has 0 containers: 0 wait, 0 run, 1 done
