# A server that says its port has it on a node for itself; another deployment of it waits until the old one has left.
node n1
node n2
function serve port 8000 takes 2s window 5m
call serve x3
wait 1s
  0.0s serve waits: a container is starting
  0.0s start c1 of serve on n1: 3 calls wait
  0.0s start c2 of serve on n2: 3 calls wait
  0.1s serve waits: 2 containers are busy; for another: needs port 8000, which another container has on each node
call serve
deploy serve
call serve
wait 8s
  1.0s serve waits: waits for a container that is leaving
  1.0s drain c1: a newer deployment took over
  1.0s drain c2: a newer deployment took over
  2.1s c1 exited
  2.1s c2 exited
  2.1s serve waits: a container is starting
  2.1s start c3 of serve on n1: 3 calls wait
  2.1s start c4 of serve on n2: 3 calls wait
  2.2s serve waits: 2 containers are busy; for another: needs port 8000, which another container has on each node
show
  9.0s serve has 2 containers: 0 wait, 0 run, 5 done
