# A secret is changed: containers that were given the old one end what they have, and others take their place.
node n1
function train min 1 takes 2s
secret train
call train
wait 1s
  0.0s train waits: a container is starting
  0.0s start c1 of train on n1: 1 call waits
secret train
wait 3s
  1.0s drain c1: a secret of it was changed
  1.0s start c2 of train on n1: spare for the present load
  2.1s c1 exited
call train
wait 3s
# Of a gang all ranks, at the end of their call.
node n2
node n3
function ranks nodes 2 takes 2s
secret ranks
call ranks x2
wait 1s
  7.0s ranks waits: a gang is starting
  7.0s start c3 of ranks as rank 0 of gang1 on n1: 2 calls wait
  7.0s start c4 of ranks as rank 1 of gang1 on n2: 2 calls wait
  7.0s start c5 of ranks as rank 0 of gang2 on n1: 2 calls wait
  7.0s start c6 of ranks as rank 1 of gang2 on n2: 2 calls wait
secret ranks
wait 8s
  8.0s drain c3: a secret of it was changed
  8.0s drain c4: a secret of it was changed
  8.0s drain c5: a secret of it was changed
  8.0s drain c6: a secret of it was changed
  9.1s c3 exited
  9.1s c4 exited
  9.1s c5 exited
  9.1s c6 exited
