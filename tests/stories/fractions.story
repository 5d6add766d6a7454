# Shares of a GPU go where the least is left over; a whole one waits until a GPU is free of them.
node n1 gpus L4:2
function half gpu L4:0.5 takes 10s window 1s max 3
function third gpu L4:0.3 takes 10s window 1s
function whole gpu L4 takes 5s
call half x3
call third
wait 1s
  0.0s half waits: a container is starting
  0.0s third waits: a container is starting
  0.0s start c1 of half on n1 gpu 0:0.5: 3 calls wait
  0.0s start c2 of third on n1 gpu 0:0.3: 1 call waits
  0.0s start c3 of half on n1 gpu 1:0.5: 3 calls wait
  0.0s start c4 of half on n1 gpu 1:0.5: 3 calls wait
call third
call whole
wait 25s
  1.0s third waits: 1 container is busy; for another: needs 0.3 × L4; most free of one GPU is 0.2
  1.0s whole waits: needs 1 × L4; largest free node has 0
  10.1s whole waits: 2 containers give way to it
  10.1s drain c3: gives way to demo/whole
  10.1s drain c4: gives way to demo/whole
  10.2s c3 exited
  10.2s c4 exited
  10.2s whole waits: a container is starting
  10.2s start c5 of whole on n1 gpu 1: 1 call waits
  11.0s drain c1: idle
  11.1s c1 exited
  20.3s drain c2: idle
  20.4s c2 exited
show
  26.0s half has 0 containers: 0 wait, 0 run, 3 done
  26.0s third has 0 containers: 0 wait, 0 run, 2 done
  26.0s whole has 1 containers: 0 wait, 0 run, 1 done
