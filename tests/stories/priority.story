# The most important first, whenever it came.
node n1 gpus H100
function low gpu H100 takes 2s
function high gpu H100 takes 2s
call low x3 priority 10
wait 1s
  0.0s low waits: a container is starting
  0.0s start c1 of low on n1 gpu 0: 3 calls wait
  0.1s low waits: 1 container is busy; for another: needs 1 × H100; largest free node has 0
call high priority 90
wait 10s
  1.0s high waits: another container gives way to it
  1.0s drain c1: gives way to demo/high: priority 90 comes first
  1.1s low waits: needs 1 × H100; largest free node has 0
  1.1s high waits: waits for a container that is leaving
  2.1s c1 exited
  2.1s high waits: a container is starting
  2.1s start c2 of high on n1 gpu 0: 1 call waits
  4.2s low waits: another container gives way to it
  4.2s drain c2: gives way to demo/low
  4.3s c2 exited
  4.3s low waits: a container is starting
  4.3s start c3 of low on n1 gpu 0: 2 calls wait
  4.4s low waits: 1 container is busy; for another: needs 1 × H100; largest free node has 0
show
  11.0s low has 1 containers: 0 wait, 0 run, 3 done
  11.0s high has 0 containers: 0 wait, 0 run, 1 done
# One urgent call among many lazy ones makes one container urgent, not all of them.
node n2 gpus H100:3
function batch gpu H100 takes 10s
function serve gpu H100 takes 10s
call batch x20 priority 10
call batch priority 90
call serve x3 priority 50
wait 12s
  11.0s batch waits: a container is starting
  11.0s serve waits: a container is starting
  11.0s drain c3: gives way to demo/serve
  11.0s start c4 of batch on n2 gpu 0: 21 calls wait
  11.0s start c5 of serve on n2 gpu 1: 3 calls wait
  11.0s start c6 of serve on n2 gpu 2: 3 calls wait
  11.1s c3 exited
  11.1s batch waits: 1 container is busy; for another: needs 1 × H100; largest free node has 0
  11.1s start c7 of serve on n1 gpu 0: 1 call waits
  21.1s batch waits: 1 container is busy; for another: another container gives way to it
  21.1s drain c5: gives way to demo/batch
  21.1s drain c6: gives way to demo/batch
  21.2s c5 exited
  21.2s c6 exited
  21.2s batch waits: a container is starting
  21.2s drain c7: gives way to demo/batch
  21.2s start c8 of batch on n2 gpu 1: 19 calls wait
  21.2s start c9 of batch on n2 gpu 2: 19 calls wait
  21.3s c7 exited
  21.3s start c10 of batch on n1 gpu 0: 17 calls wait
  21.4s batch waits: 4 containers are busy; for another: needs 1 × H100; largest free node has 0
show
  23.0s low has 0 containers: 0 wait, 0 run, 3 done
  23.0s high has 0 containers: 0 wait, 0 run, 1 done
  23.0s batch has 4 containers: 16 wait, 4 run, 1 done
  23.0s serve has 0 containers: 0 wait, 0 run, 3 done
