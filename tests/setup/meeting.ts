/** A gang of two whose ranks look for each other, in Python. */

/**
 * As libraries of training do it: rank 0 listens where it was told, and each on a port of its own at the address of its interface, which
 * it tells the others by way of rank 0. When it is told so, the first attempt stays for ever, or rank 1 ends its process in it.
 */
export const MEET = `import fcntl, json, os, socket, struct, time

def own_address():
  name = os.environ["GLOO_SOCKET_IFNAME"].encode()
  with socket.socket() as any:
    return socket.inet_ntoa(fcntl.ioctl(any, 0x8915, struct.pack("256s", name))[20:24])

def connect(address):
  for _ in range(500):
    try:
      return socket.create_connection(address, timeout=5)
    except ConnectionRefusedError:
      time.sleep(0.02)
  raise TimeoutError(str(address))

def fn(hitch, ctx):
  if hitch == "exits" and ctx.attempt == 1 and ctx.rank == 1:
    os._exit(3)
  if hitch == "stays" and ctx.attempt == 1:
    time.sleep(10_000)
  socket.getaddrinfo(socket.gethostname(), None)
  own = socket.create_server((own_address(), 0))
  mine = [own.getsockname()[0], own.getsockname()[1]]
  if ctx.rank == 0:
    with socket.create_server(("", ctx.gang.master_port)) as meeting, meeting.accept()[0] as peer:
      peer.sendall(json.dumps(mine).encode() + b"\\n")
      theirs = json.loads(peer.makefile().readline())
  else:
    with connect(tuple(ctx.gang)) as peer:
      theirs = json.loads(peer.makefile().readline())
      peer.sendall(json.dumps(mine).encode() + b"\\n")
  with connect(tuple(theirs)) as out, own.accept()[0] as back:
    out.sendall(b"rank %d" % ctx.rank)
    return [os.getgid(), back.recv(100).decode(), theirs[0]]
`;
