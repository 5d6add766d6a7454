# Where there is room for one only, functions take turns of 30 s.
node n1 gpus H100
function first gpu H100 takes 4s
function second gpu H100 takes 4s
call first x100
wait 1s
  0.0s first waits: a container is starting
  0.0s start c1 of first on n1 gpu 0: 100 calls wait
  0.1s first waits: 1 container is busy; for another: needs 1 × H100; largest free node has 0
call second x100
wait 100s
  1.0s second waits: needs 1 × H100; largest free node has 0
  31.1s second waits: another container gives way to it
  31.1s drain c1: gives way to demo/second
  31.2s first waits: needs 1 × H100; largest free node has 0
  31.2s second waits: waits for a container that is leaving
  32.1s c1 exited
  32.1s second waits: a container is starting
  32.1s start c2 of second on n1 gpu 0: 100 calls wait
  32.2s second waits: 1 container is busy; for another: needs 1 × H100; largest free node has 0
  62.2s first waits: another container gives way to it
  62.2s drain c2: gives way to demo/first
  62.3s first waits: waits for a container that is leaving
  62.3s second waits: needs 1 × H100; largest free node has 0
  64.2s c2 exited
  64.2s first waits: a container is starting
  64.2s start c3 of first on n1 gpu 0: 92 calls wait
  64.3s first waits: 1 container is busy; for another: needs 1 × H100; largest free node has 0
  94.3s second waits: another container gives way to it
  94.3s drain c3: gives way to demo/second
  94.4s first waits: needs 1 × H100; largest free node has 0
  94.4s second waits: waits for a container that is leaving
  96.3s c3 exited
  96.3s second waits: a container is starting
  96.3s start c4 of second on n1 gpu 0: 92 calls wait
  96.4s second waits: 1 container is busy; for another: needs 1 × H100; largest free node has 0
show
  101.0s first has 0 containers: 84 wait, 0 run, 16 done
  101.0s second has 1 containers: 90 wait, 1 run, 9 done
