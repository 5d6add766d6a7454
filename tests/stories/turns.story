# Nobody is shut out by a long queue.
node n1 cpu 0.3
function many takes 2s
function one takes 500ms
call many x6
wait 200ms
  0.0s many waits: a container is starting
  0.0s start c1 of many on n1: 6 calls wait
  0.0s start c2 of many on n1: 6 calls wait
  0.0s start c3 of many on n1: 6 calls wait
  0.1s many waits: 3 containers are busy; for another: needs 0.1 CPU; largest free node has 0
call one
wait 8s
  0.2s one waits: another container gives way to it
  0.2s drain c1: gives way to demo/one
  0.3s one waits: waits for a container that is leaving
  2.1s c1 exited
  2.1s many waits: 2 containers are busy; for another: needs 0.1 CPU; largest free node has 0
  2.1s one waits: a container is starting
  2.1s start c4 of one on n1: 1 call waits
  2.7s many waits: 2 containers are busy; for another: another container gives way to it
  2.7s drain c4: gives way to demo/many
  2.8s c4 exited
  2.8s many waits: a container is starting
  2.8s start c5 of many on n1: 1 call waits
