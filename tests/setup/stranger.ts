/** A container of somebody else: no runner knows of it, and its network is one that its engine has made for it. */
import { createBody } from "../../runner/engines/oci/sandbox.ts";
import { clientOf, type EngineAt } from "./components/engines.ts";
import { until } from "./until.ts";

const LISTENS = `import socket
listener = socket.create_server(("0.0.0.0", 4000))
while True: listener.accept()[0].sendall(b"hello")
`;

/** Says hello at its place, HOST:PORT, to whoever reaches it; this machine does. @param image that has Python */
export async function startStranger(at: EngineAt, image: string) {
  const client = clientOf(at);
  const stack = new AsyncDisposableStack();
  stack.defer(() => client.close());
  const network = `stranger-${at.name}`;
  await client.createNetwork({ Name: network, Driver: "bridge" });
  stack.defer(() => client.removeNetwork(network));
  const body = createBody({
    image,
    command: ["python3", "-c", LISTENS],
    env: {},
    labels: {},
    user: "65534:65534",
    workdir: "/",
    mounts: [],
    cpu: 1,
    memoryMiB: 64,
    network,
    hosts: [],
    dns: [],
    rlimits: { nofile: 1_024, nproc: 1_024, memlock: 0 },
    gpus: { way: "request", names: [] },
  });
  const id = await client.create(network, body);
  stack.defer(() => client.remove(id));
  await client.start(id);
  const networks = (await client.inspect(id))!.NetworkSettings!.Networks!;
  const hostname = Object.values(networks)[0]!.IPAddress!;
  await until("it listens", () =>
    Deno.connect({ hostname, port: 4_000 }).then((connection) => {
      connection.close();
      return true;
    }, () => null));
  return { place: `${hostname}:4000`, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
