# What is promised to one workspace and not used is lent to others; and comes back when it is needed.
workspace a quota 2
workspace b quota 2
node n1 gpus H100:4
function batch workspace b gpu H100 takes 60s preemptible saves 2s notice 10s
function serve workspace a gpu H100 takes 10s window 2s
call batch x4
wait 20s
  0.0s batch waits: a container is starting
  0.0s start c1 of batch on n1 gpu 0: 4 calls wait
  0.0s start c2 of batch on n1 gpu 1: 4 calls wait
  0.0s start c3 of batch on n1 gpu 2: 4 calls wait
  0.0s start c4 of batch on n1 gpu 3: 4 calls wait
call serve x2
wait 40s
  20.0s serve waits: waits for 1 GPU lent to workspace b to come back
  20.0s drain c1 within 10s: workspace a takes back what it lent, for demo/serve
  20.0s drain c2 within 10s: workspace a takes back what it lent, for demo/serve
  20.1s serve waits: waits for 2 GPUs lent to workspace b to come back
  22.0s c1 saved its work and gave back its call
  22.0s c1 exited
  22.0s c2 saved its work and gave back its call
  22.0s c2 exited
  22.0s batch waits: 2 containers are busy; for another: needs 1 × H100; largest free node has 0
  22.0s serve waits: a container is starting
  22.0s start c5 of serve on n1 gpu 0: 2 calls wait
  22.0s start c6 of serve on n1 gpu 1: 2 calls wait
  32.1s batch waits: 2 containers are busy; for another: another container gives way to it
  32.1s drain c5: gives way to demo/batch
  32.1s drain c6: gives way to demo/batch
  32.2s c5 exited
  32.2s c6 exited
  32.2s batch waits: a container is starting
  32.2s start c7 of batch on n1 gpu 0: 2 calls wait
  32.2s start c8 of batch on n1 gpu 1: 2 calls wait
show
  60.0s batch has 4 containers: 0 wait, 4 run, 0 done
  60.0s serve has 0 containers: 0 wait, 0 run, 2 done
# When the lender is idle again, it is lent once more.
wait 40s
show
  100.0s batch has 4 containers: 0 wait, 0 run, 4 done
  100.0s serve has 0 containers: 0 wait, 0 run, 2 done
