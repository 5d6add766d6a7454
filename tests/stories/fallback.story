# A list of GPUs is an order of preference: the first that is free, not the first that might be.
node a gpus A100
node h gpus H100
function flexible gpu H100,A100:1 takes 20s window 30s
call flexible x3
wait 15s
  0.0s flexible waits: a container is starting
  0.0s start c1 of flexible on h gpu 0: 3 calls wait
  0.0s start c2 of flexible on a gpu 0: 3 calls wait
  0.1s flexible waits: 2 containers are busy; for another: needs 1 × H100; largest free node has 0; or needs 1 × A100; largest free node has 0
# Nothing of the list is there: each choice says what it lacks.
function picky gpu B200,H100:2
call picky
wait 1s
  15.0s picky waits: needs 1 × B200; no node has one; or needs 2 × H100; largest node has 1
