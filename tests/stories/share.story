# Free GPUs go to whoever has used the least of late, in proportion to weights: 3 to 1.
workspace a weight 300
workspace b weight 100
node n1 gpus L4:4
function left workspace a gpu L4 takes 10s max 4
function right workspace b gpu L4 takes 10s max 4
call left x4
call right x4
wait 8s
  0.0s left waits: a container is starting
  0.0s right waits: a container is starting
  0.0s start c1 of left on n1 gpu 0: 4 calls wait
  0.0s start c2 of right on n1 gpu 1: 4 calls wait
  0.0s start c3 of left on n1 gpu 2: 4 calls wait
  0.0s start c4 of left on n1 gpu 3: 4 calls wait
  0.1s left waits: 3 containers are busy; for another: needs 1 × L4; largest free node has 0
  0.1s right waits: 1 container is busy; for another: needs 1 × L4; largest free node has 0
call left x100
call right x100
wait 8s
show
  16.0s left has 3 containers: 98 wait, 3 run, 3 done
  16.0s right has 1 containers: 102 wait, 1 run, 1 done
# Who comes late gets its share from those who have more, as their calls end.
workspace c weight 400
function late workspace c gpu L4 takes 10s
call late x100
wait 60s
  16.0s late waits: needs 1 × L4; largest free node has 0
  30.1s late waits: another container gives way to it
  30.1s drain c1: gives way to demo/late: its workspace has had more than its share
  30.2s left waits: 2 containers are busy; for another: needs 1 × L4; largest free node has 0
  30.2s late waits: waits for a container that is leaving
  40.1s c1 exited
  40.1s late waits: a container is starting
  40.1s start c5 of late on n1 gpu 0: 100 calls wait
  40.2s late waits: 1 container is busy; for another: needs 1 × L4; largest free node has 0
show
  76.0s left has 2 containers: 84 wait, 2 run, 18 done
  76.0s right has 1 containers: 96 wait, 1 run, 7 done
  76.0s late has 1 containers: 96 wait, 1 run, 3 done
