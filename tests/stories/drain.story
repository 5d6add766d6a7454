# A node drains: others take its work first, then it is empty.
node n1
node n2
function serve takes 2s starts 1s min 2 window 10s
wait 3s
  0.0s start c1 of serve on n1: kept by scale.min
  0.0s start c2 of serve on n1: kept by scale.min
call serve x2
drain n1
wait 8s
  3.0s start c3 of serve on n2: takes the place of one whose node drains
  3.0s start c4 of serve on n2: takes the place of one whose node drains
  4.0s drain c1: its node drains
  4.0s drain c2: its node drains
  5.0s c1 exited
  5.0s c2 exited
# A cordoned node keeps what it has and gets nothing new.
cordon n2
call serve x3
wait 4s
  11.0s serve waits: 2 containers are busy; for another: the only node is cordoned
uncordon n2
wait 5s
show
  20.0s serve has 2 containers: 0 wait, 0 run, 5 done
