# A rank is lost: the others stay, and it is placed anew where there is room.
node n1 gpus H100:8 cpu 64
node n2 gpus H100:8 cpu 64
node n3 gpus H100:8 cpu 64
function train gpu H100:8 nodes 2 takes 30s starts 2s window 5s max 1
call train
wait 10s
  0.0s train waits: a gang is starting
  0.0s start c1 of train as rank 0 of gang1 on n1 gpu 0 gpu 1 gpu 2 gpu 3 gpu 4 gpu 5 gpu 6 gpu 7: 1 call waits
  0.0s start c2 of train as rank 1 of gang1 on n2 gpu 0 gpu 1 gpu 2 gpu 3 gpu 4 gpu 5 gpu 6 gpu 7: 1 call waits
crash c2
  10.0s c2 crashed, its call waits again
wait 10s
  10.0s train waits: a gang gets another container for a rank that it lost
  10.0s start c3 of train as rank 1 of gang1 on n2 gpu 0 gpu 1 gpu 2 gpu 3 gpu 4 gpu 5 gpu 6 gpu 7: takes the place of a rank that its gang lost
# Its node drains: the rank ends the call, and moves after it.
call train
drain n1
wait 40s
  20.0s drain c1: its node drains
  21.0s train waits: 1 gang is busy and scale.max is 1
  42.0s c1 exited
  42.0s train waits: a gang gets another container for a rank that it lost
  42.0s start c4 of train as rank 0 of gang1 on n3 gpu 0 gpu 1 gpu 2 gpu 3 gpu 4 gpu 5 gpu 6 gpu 7: takes the place of a rank that its gang lost
# No room for a rank: after a minute the others give back what they hold.
wait 10s
show
  70.0s train has 2 containers: 0 wait, 1 run, 1 done
