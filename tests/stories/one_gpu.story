# Two functions share one GPU: the idle one gives way, the busy one ends what it has.
node n1 gpus H100
function serve gpu H100 takes 500ms
function train gpu H100 takes 3s
call serve
wait 2s
  0.0s serve waits: a container is starting
  0.0s start c1 of serve on n1 gpu 0: 1 call waits
call train
wait 1s
  2.0s train waits: another container gives way to it
  2.0s drain c1: gives way to demo/train
  2.1s c1 exited
  2.1s train waits: a container is starting
  2.1s start c2 of train on n1 gpu 0: 1 call waits
call serve
wait 6s
  3.0s serve waits: needs 1 × H100; largest free node has 0
  5.2s serve waits: another container gives way to it
  5.2s drain c2: gives way to demo/serve
  5.3s c2 exited
  5.3s serve waits: a container is starting
  5.3s start c3 of serve on n1 gpu 0: 1 call waits
