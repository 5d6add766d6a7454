# The least important first, and of equals the one that began last: it loses the least.
node n1 gpus H100:4
function old gpu H100 takes 200s preemptible saves 1s
function young gpu H100 takes 200s preemptible saves 1s
function mid gpu H100 takes 200s preemptible saves 1s
function high gpu H100 takes 30s
call old priority 10
wait 10s
  0.0s old waits: a container is starting
  0.0s start c1 of old on n1 gpu 0: 1 call waits
call young priority 10
call mid x2 priority 40
wait 10s
  10.0s young waits: a container is starting
  10.0s mid waits: a container is starting
  10.0s start c2 of mid on n1 gpu 1: 2 calls wait
  10.0s start c3 of mid on n1 gpu 2: 2 calls wait
  10.0s start c4 of young on n1 gpu 3: 1 call waits
call high priority 90
wait 5s
  20.0s high waits: another container gives way to it
  20.0s drain c4 within 30s: gives way to demo/high: priority 90 comes before 10
  20.1s high waits: waits for a container that gives way, by 2026-01-01T12:00:50.000Z at the latest
  21.0s c4 saved its work and gave back its call
  21.0s c4 exited
  21.0s young waits: needs 1 × H100; largest free node has 0
  21.0s high waits: a container is starting
  21.0s start c5 of high on n1 gpu 3: 1 call waits
call high x2 priority 90
wait 5s
  25.0s high waits: 1 container is busy; for another: another container gives way to it
  25.0s drain c1 within 30s: gives way to demo/high: priority 90 comes before 10
  25.0s drain c2 within 30s: gives way to demo/high: priority 90 comes before 40
  25.1s high waits: 1 container is busy; for another: waits for a container that gives way, by 2026-01-01T12:00:55.000Z at the latest
  26.0s c1 saved its work and gave back its call
  26.0s c1 exited
  26.0s c2 saved its work and gave back its call
  26.0s c2 exited
  26.0s old waits: needs 1 × H100; largest free node has 0
  26.0s mid waits: 1 container is busy; for another: needs 1 × H100; largest free node has 0
  26.0s high waits: a container is starting
  26.0s start c6 of high on n1 gpu 0: 2 calls wait
  26.0s start c7 of high on n1 gpu 1: 2 calls wait
show
  30.0s old has 0 containers: 1 wait, 0 run, 0 done
  30.0s young has 0 containers: 1 wait, 0 run, 0 done
  30.0s mid has 1 containers: 1 wait, 1 run, 0 done
  30.0s high has 3 containers: 0 wait, 3 run, 0 done
