# A deployment takes over: what runs ends where it is.
node n1
function digits takes 2s
call digits x2
wait 1s
  0.0s digits waits: a container is starting
  0.0s start c1 of digits on n1: 2 calls wait
  0.0s start c2 of digits on n1: 2 calls wait
deploy digits
call digits
wait 6s
  1.0s digits waits: a container is starting
  1.0s drain c1: a newer deployment took over
  1.0s drain c2: a newer deployment took over
  1.0s start c3 of digits on n1: 1 call waits
  2.1s c1 exited
  2.1s c2 exited
# A function that is removed lets its calls end, and those that wait fail.
call digits x12
wait 1s
  7.0s digits waits: a container is starting
  7.0s start c4 of digits on n1: 11 calls wait
  7.0s start c5 of digits on n1: 11 calls wait
  7.0s start c6 of digits on n1: 11 calls wait
  7.0s start c7 of digits on n1: 11 calls wait
  7.0s start c8 of digits on n1: 11 calls wait
  7.0s start c9 of digits on n1: 11 calls wait
  7.0s start c10 of digits on n1: 11 calls wait
  7.0s start c11 of digits on n1: 11 calls wait
  7.0s start c12 of digits on n1: 11 calls wait
remove digits
wait 5s
  8.0s digits waits: the function was removed
  8.0s drain c3: its function was removed
  8.0s drain c4: its function was removed
  8.0s drain c5: its function was removed
  8.0s drain c6: its function was removed
  8.0s drain c7: its function was removed
  8.0s drain c8: its function was removed
  8.0s drain c9: its function was removed
  8.0s drain c10: its function was removed
  8.0s drain c11: its function was removed
  8.0s drain c12: its function was removed
  8.0s fail 2 of digits: The function was removed
  9.0s c3 exited
  9.1s c4 exited
  9.1s c5 exited
  9.1s c6 exited
  9.1s c7 exited
  9.1s c8 exited
  9.1s c9 exited
  9.1s c10 exited
  9.1s c11 exited
  9.1s c12 exited
