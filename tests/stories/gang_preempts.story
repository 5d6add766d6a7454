# A gang cuts short as few as it takes to have its nodes, and a gang is cut short as a whole.
node n1 gpus H100:2 cpu 8
node n2 gpus H100:2 cpu 8
node n3 gpus H100:2 cpu 8
function small gpu H100 takes 100s preemptible saves 2s
function gang gpu H100:2 nodes 2 takes 10s preemptible saves 2s window 1s
function urgent gpu H100:2 takes 3s window 1s
call small x4 priority 10
wait 5s
  0.0s small waits: a container is starting
  0.0s start c1 of small on n1 gpu 0: 4 calls wait
  0.0s start c2 of small on n1 gpu 1: 4 calls wait
  0.0s start c3 of small on n2 gpu 0: 4 calls wait
  0.0s start c4 of small on n2 gpu 1: 4 calls wait
call gang priority 50
wait 10s
  5.0s gang waits: 2 containers give way to it
  5.0s drain c1 within 30s: gives way to demo/gang: priority 50 comes before 10
  5.0s drain c2 within 30s: gives way to demo/gang: priority 50 comes before 10
  5.1s gang waits: waits for a container that gives way, by 2026-01-01T12:00:35.000Z at the latest
  7.0s c1 saved its work and gave back its call
  7.0s c1 exited
  7.0s c2 saved its work and gave back its call
  7.0s c2 exited
  7.0s small waits: 2 containers are busy; for another: needs 1 × H100; largest free node has 0
  7.0s gang waits: a gang is starting
  7.0s start c5 of gang as rank 0 of gang1 on n1 gpu 0 gpu 1: 1 call waits
  7.0s start c6 of gang as rank 1 of gang1 on n3 gpu 0 gpu 1: 1 call waits
call urgent x2 priority 90
wait 30s
  15.0s small waits: 2 containers are busy; for another: waits for a container that gives way, by 2026-01-01T12:00:45.000Z at the latest
  15.0s urgent waits: 2 containers give way to it
  15.0s drain c3 within 30s: gives way to demo/urgent: priority 90 comes before 10
  15.0s drain c4 within 30s: gives way to demo/urgent: priority 90 comes before 10
  15.0s drain c5 within 30s: gives way to demo/urgent: priority 90 comes before 50
  15.0s drain c6 within 30s: gives way to demo/urgent: priority 90 comes before 50
  15.1s small waits: waits for a container that gives way, by 2026-01-01T12:00:45.000Z at the latest
  15.1s urgent waits: waits for a container that gives way, by 2026-01-01T12:00:45.000Z at the latest
  17.0s c3 saved its work and gave back its call
  17.0s c3 exited
  17.0s c4 saved its work and gave back its call
  17.0s c4 exited
  17.0s c5 saved its work and gave back its call
  17.0s c5 exited
  17.0s c6 exited
  17.0s small waits: a container is starting
  17.0s gang waits: needs 2 nodes at once; 1 has room
  17.0s urgent waits: a container is starting
  17.0s start c7 of urgent on n1 gpu 0 gpu 1: 2 calls wait
  17.0s start c8 of urgent on n2 gpu 0 gpu 1: 2 calls wait
  17.0s start c9 of small on n3 gpu 0: 4 calls wait
  17.0s start c10 of small on n3 gpu 1: 4 calls wait
  17.1s small waits: 2 containers are busy; for another: needs 1 × H100; largest free node has 0
  17.1s gang waits: needs 2 × H100; largest free node has 0
  20.1s gang waits: waits for a container that is leaving
  20.1s drain c7: idle
  20.1s drain c8: idle
  20.2s c7 exited
  20.2s c8 exited
  20.2s gang waits: a gang is starting
  20.2s start c11 of gang as rank 0 of gang2 on n1 gpu 0 gpu 1: 1 call waits
  20.2s start c12 of gang as rank 1 of gang2 on n2 gpu 0 gpu 1: 1 call waits
  20.4s small waits: 2 containers are busy; for another: another container gives way to it
  20.4s drain c11: gives way to demo/small
  20.4s drain c12: gives way to demo/small
  20.5s c11 exited
  20.5s c12 exited
  20.5s small waits: a container is starting
  20.5s start c13 of small on n1 gpu 0: 2 calls wait
  20.5s start c14 of small on n1 gpu 1: 2 calls wait
show
  45.0s small has 4 containers: 0 wait, 4 run, 0 done
  45.0s gang has 0 containers: 0 wait, 0 run, 1 done
  45.0s urgent has 0 containers: 0 wait, 0 run, 2 done
