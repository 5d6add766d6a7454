# A module throws on import, until it is deployed anew.
node n1
function typo says TypeError:_x_is_not_a_function
call typo x2
wait 9s
  0.0s typo waits: a container is starting
  0.0s start c1 of typo on n1: 2 calls wait
  0.0s start c2 of typo on n1: 2 calls wait
  0.1s c1 failed to start: TypeError: x is not a function
  0.1s c2 failed to start: TypeError: x is not a function
  0.1s typo waits: the last start failed: TypeError: x is not a function; next try at 2026-01-01T12:00:01.100Z
  1.1s typo waits: the last start failed: TypeError: x is not a function; trying again
  1.1s start c3 of typo on n1: 2 calls wait
  1.2s c3 failed to start: TypeError: x is not a function
  1.2s typo waits: the last 2 starts failed: TypeError: x is not a function; next try at 2026-01-01T12:00:03.200Z
  3.2s typo waits: the last 2 starts failed: TypeError: x is not a function; trying again
  3.2s start c4 of typo on n1: 2 calls wait
  3.3s c4 failed to start: TypeError: x is not a function
  3.3s typo waits: the last 3 starts failed: TypeError: x is not a function; next try at 2026-01-01T12:00:07.300Z
  3.3s fail 2 of typo: TypeError: x is not a function
call typo
wait 8s
  9.0s typo waits: the last 3 starts failed: TypeError: x is not a function; trying again
  9.0s start c5 of typo on n1: 1 call waits
  9.1s c5 failed to start: TypeError: x is not a function
  9.1s typo waits: the last 4 starts failed: TypeError: x is not a function; next try at 2026-01-01T12:00:17.100Z
  9.1s fail 1 of typo: TypeError: x is not a function
deploy typo
call typo
wait 3s
  17.0s typo waits: a container is starting
  17.0s start c6 of typo on n1: 1 call waits
