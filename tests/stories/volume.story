# A volume that nobody has used is where it is used first, and all that mount it go there.
node n1 gpus L4
node n2 gpus L4 cpu 16
function fill volume data takes 2s max 1
function train volume data gpu L4 takes 2s
call fill
wait 3s
  0.0s fill waits: a container is starting
  0.0s start c1 of fill on n1: 1 call waits
call train x3
wait 1s
  3.0s train waits: a container is starting
  3.0s start c2 of train on n1 gpu 0: 3 calls wait
  3.1s train waits: 1 container is busy; for another: needs 1 × L4; largest free node has 0 (of those that have volume "data")
# That node is full, and then it is away: nothing goes elsewhere.
wait 9s
silence n1
wait 40s
  42.1s n1 is lost
  42.1s c1 is lost
  42.1s c2 is lost
call train
wait 1s
  53.0s train waits: needs volume "data", which is on node n1; that node is away
# On a path that nodes share: on any of those, and on no other.
node n3 label berth.volumes=nfs
node n4 label berth.volumes=nfs
function share volume shared:files max 2 takes 5s
call share x2
wait 2s
  54.0s share waits: a container is starting
  54.0s start c3 of share on n3: 2 calls wait
  54.0s start c4 of share on n3: 2 calls wait
function other volume shared:files@gone
call other
wait 1s
  56.0s other waits: needs volume "files"; no node that sees its shared path is up
# What was deleted is nowhere, and two nodes are never one.
function lost volume gone:old
function both volume data@n1,more@n2
call lost
call both
wait 1s
  57.0s lost waits: needs volume "old", which was deleted: make it again, or deploy without it
  57.0s both waits: needs volume "data", which is on node n1; that node is away
# Nodes of pools come and go: they are not asked for a volume that has to stay.
pool grows gpus L4:8 joins 1s
function keep volume fresh gpu L4:8
call keep
wait 1s
  58.0s other waits: needs volume "files"; no node that sees its shared path is up; no pool can provide it: needs volume "files"; no node that sees its shared path is up
  58.0s keep waits: needs 8 × L4; largest node has 1; no pool can provide it: nodes of pools come and go, and volume "fresh" is to lie on one that stays
