# A GPU fails: what it carries leaves, and it gets nothing more until it is well.
node n1 gpus H100:2
function train gpu H100 takes 10s
call train x2
wait 3s
  0.0s train waits: a container is starting
  0.0s start c1 of train on n1 gpu 0: 2 calls wait
  0.0s start c2 of train on n1 gpu 1: 2 calls wait
gpu n1 0 fails
wait 10s
  3.0s drain c1: GPU 0 of its node is failing
  10.1s c1 exited
function wide gpu H100:2
call wide
wait 70s
  13.0s wide waits: needs 2 × H100; largest node has 1, and 1 that is unhealthy
  70.0s drain c2: idle
  70.1s c2 exited
gpu n1 0 heals
wait 2s
  83.0s wide waits: a container is starting
  83.0s start c3 of wide on n1 gpu 0 gpu 1: 1 call waits
