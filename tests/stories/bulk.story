# A bulk of short calls gets what empties the queue; a bulk of long calls gets max.
node n1
function short takes 5ms
function long takes 2s max 4
call short x500
call long x20
wait 12s
  0.0s short waits: a container is starting
  0.0s long waits: a container is starting
  0.0s start c1 of short on n1: 500 calls wait
  0.0s start c2 of long on n1: 20 calls wait
  0.0s start c3 of short on n1: 500 calls wait
  0.0s start c4 of long on n1: 20 calls wait
  0.2s short waits: a container is starting
  0.2s start c5 of short on n1: 458 calls wait
  0.4s long waits: a container is starting
  0.4s start c6 of long on n1: 18 calls wait
  0.4s start c7 of long on n1: 18 calls wait
  1.0s long waits: 4 containers are busy and scale.max is 4
show
  12.0s short has 3 containers: 0 wait, 0 run, 500 done
  12.0s long has 4 containers: 0 wait, 0 run, 20 done
