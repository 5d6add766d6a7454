# Why calls wait: nobody is there to take them.
function work
call work
wait 1s
  0.0s work waits: no node is up
# The node lacks what they need: a GPU, cores, memory, disk, a label.
node n1 gpus L4 cpu 4 memory 8 disk 10
function gpu gpu H100
function gpus gpu L4:2
function share gpu L4:0.5
function cores cpu 8
function memory memory 16
function disk disk 20
function label label zone=eu
function gang gpu L4 nodes 2
call gpu
call gpus
call cores
call memory
call disk
call label
call gang
wait 500ms
  1.0s work waits: a container is starting
  1.0s gpu waits: needs 1 × H100; no node has one
  1.0s gpus waits: needs 2 × L4; largest node has 1
  1.0s cores waits: needs 8 CPU; largest free node has 3.9
  1.0s memory waits: needs 16384 MiB memory; largest free node has 7680
  1.0s disk waits: needs 20480 MiB disk; largest free node has 10240
  1.0s label waits: needs a node with zone=eu; no node has that
  1.0s gang waits: needs 2 nodes at once; 1 has room
  1.0s start c1 of work on n1: 1 call waits
# It is full, or cordoned.
function busy gpu L4 takes 10s max 1
call busy x2
wait 2s
  1.5s busy waits: a container is starting
  1.5s start c2 of busy on n1 gpu 0: 2 calls wait
  1.6s gang waits: needs 1 × L4; largest free node has 0
  3.1s cores waits: needs 8 CPU; largest free node has 3.8
  3.1s memory waits: needs 16384 MiB memory; largest free node has 7168
  3.1s busy waits: 1 container is busy and scale.max is 1
call share
wait 2s
  3.5s share waits: needs 0.5 × L4; most free of one GPU is 0
cordon n1
call work
wait 2s
  5.5s gpu waits: the only node is cordoned
  5.5s gpus waits: the only node is cordoned
  5.5s share waits: the only node is cordoned
  5.5s cores waits: the only node is cordoned
  5.5s memory waits: the only node is cordoned
  5.5s disk waits: the only node is cordoned
  5.5s label waits: the only node is cordoned
  5.5s gang waits: the only node is cordoned
