# A function comes from zero, and goes back when its window is over.
node n1
function work takes 1s window 5s
call work x2
wait 10s
  0.0s work waits: a container is starting
  0.0s start c1 of work on n1: 2 calls wait
  0.0s start c2 of work on n1: 2 calls wait
  5.1s drain c1: idle
  5.1s drain c2: idle
  5.2s c1 exited
  5.2s c2 exited
