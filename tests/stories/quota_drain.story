# What can't be cut short comes back when its calls have ended. Beyond its quota a workspace takes nothing back.
workspace a quota 1
workspace b quota 1
node n1 gpus H100:2
function batch workspace b gpu H100 takes 15s
function serve workspace a gpu H100 takes 5s window 1s
call batch x6
wait 5s
  0.0s batch waits: a container is starting
  0.0s start c1 of batch on n1 gpu 0: 6 calls wait
  0.0s start c2 of batch on n1 gpu 1: 6 calls wait
  0.1s batch waits: 2 containers are busy; for another: needs 1 × H100; largest free node has 0
call serve x2
wait 20s
  5.0s serve waits: waits for 1 GPU lent to workspace b to come back
  5.0s drain c1: workspace a takes back what it lent, for demo/serve
  5.1s batch waits: 1 container is busy; for another: needs 1 × H100; largest free node has 0
  15.1s c1 exited
  15.1s serve waits: a container is starting
  15.1s start c3 of serve on n1 gpu 0: 2 calls wait
  15.2s serve waits: 1 container is busy; for another: needs 1 × H100; largest free node has 0
show
  25.0s batch has 1 containers: 3 wait, 1 run, 2 done
  25.0s serve has 1 containers: 0 wait, 1 run, 1 done
