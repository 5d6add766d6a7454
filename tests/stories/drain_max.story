# Where max leaves no room for both, one whose node drains leaves as the other starts.
node n1
node n2
function serve takes 4s starts 1s min 1 max 1
wait 2s
  0.0s start c1 of serve on n1: kept by scale.min
call serve
wait 1s
drain n1
wait 6s
  3.0s drain c1: its node drains
  3.0s start c2 of serve on n2: takes the place of one whose node drains
  6.0s c1 exited
