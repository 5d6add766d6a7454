# A node falls silent: what it had is placed elsewhere.
node n1
node n2
function work takes 60s
call work
wait 5s
  0.0s work waits: a container is starting
  0.0s start c1 of work on n1: 1 call waits
silence n1
wait 40s
  34.1s n1 is lost
  34.1s c1 is lost, its call waits again
  35.1s work waits: a container is starting
  35.1s start c2 of work on n2: 1 call waits
show
  45.0s work has 1 containers: 0 wait, 1 run, 0 done
