# When there is no room for others, a draining node does not wait for it.
node n1 gpus H100
function serve gpu H100 takes 2s min 1
wait 2s
  0.0s start c1 of serve on n1 gpu 0: kept by scale.min
call serve x3
drain n1
wait 5s
  2.0s serve waits: no node is up
  2.0s drain c1: its node drains
  4.0s c1 exited
show
  7.0s serve has 0 containers: 2 wait, 0 run, 1 done
