# One GPU cannot be shared: two workspaces take turns.
workspace a
workspace b
node n1 gpus L4
function left workspace a gpu L4 takes 10s
function right workspace b gpu L4 takes 10s
call left x200
wait 1s
  0.0s left waits: a container is starting
  0.0s start c1 of left on n1 gpu 0: 200 calls wait
  0.1s left waits: 1 container is busy; for another: needs 1 × L4; largest free node has 0
call right x200
wait 10m
  1.0s right waits: needs 1 × L4; largest free node has 0
  122.1s right waits: another container gives way to it
  122.1s drain c1: gives way to demo/right: its workspace has had more than its share
  122.2s left waits: needs 1 × L4; largest free node has 0
  122.2s right waits: waits for a container that is leaving
  130.1s c1 exited
  130.1s right waits: a container is starting
  130.1s start c2 of right on n1 gpu 0: 200 calls wait
  130.2s right waits: 1 container is busy; for another: needs 1 × L4; largest free node has 0
  374.2s left waits: another container gives way to it
  374.2s drain c2: gives way to demo/left: its workspace has had more than its share
  374.3s left waits: waits for a container that is leaving
  374.3s right waits: needs 1 × L4; largest free node has 0
  380.2s c2 exited
  380.2s left waits: a container is starting
  380.2s start c3 of left on n1 gpu 0: 187 calls wait
  380.3s left waits: 1 container is busy; for another: needs 1 × L4; largest free node has 0
show
  601.0s left has 1 containers: 164 wait, 1 run, 35 done
  601.0s right has 0 containers: 175 wait, 0 run, 25 done
