# Calls that wait for their concurrency key need no container.
node n1
function work takes 3s
call work x4 key user-1
call work key user-2
wait 10s
  0.0s work waits: a container is starting
  0.0s start c1 of work on n1: 2 calls wait
  0.0s start c2 of work on n1: 2 calls wait
  0.1s work waits: 3 calls wait for their concurrency key
  3.1s work waits: 2 calls wait for their concurrency key
  6.1s work waits: 1 call waits for its concurrency key
show
  10.0s work has 2 containers: 0 wait, 1 run, 4 done
