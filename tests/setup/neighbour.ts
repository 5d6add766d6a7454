/** A machine beside this one: a network namespace with a cable to it, where a program says hello to whoever connects. */
import { command } from "./components/daemon.ts";

/** What it runs; it ends when its input does, and its network with it. */
const GREETER = `
const listener = Deno.listen({ hostname: "0.0.0.0", port: 4000 });
(async () => {
  for await (const connection of listener) {
    await connection.write(new TextEncoder().encode("hello")).catch(() => {});
    connection.close();
  }
})();
console.log("up");
for await (const _ of Deno.stdin.readable);
Deno.exit();
`;

export class Neighbour implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  /** Where it greets: an address like any other's, and one like those where clouds keep their metadata. */
  readonly place: string;
  readonly metadata: string;

  private constructor(child: Deno.ChildProcess, address: string, metadata: string) {
    this.#child = child;
    this.place = `${address}:4000`;
    this.metadata = `${metadata}:4000`;
  }

  static async start(): Promise<Neighbour> {
    const child = new Deno.Command("unshare", {
      args: ["--net", Deno.execPath(), "eval", GREETER],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    await child.stdout.getReader().read();
    const [a, b] = crypto.getRandomValues(new Uint8Array(2)), id = new Uint8Array([a!, b!]).toHex();
    const net = `198.18.${a}.${b! & 0xfc}`, metadata = `169.254.${a! % 200}.${b}`;
    const [near, far] = [
      net.replace(/\d+$/, (n) => `${Number(n) + 1}`),
      net.replace(/\d+$/, (n) => `${Number(n) + 2}`),
    ];
    const inside = ["nsenter", "--target", `${child.pid}`, "--net"] as const;
    for (
      const line of [
        `ip link add nb${id}a type veth peer name nb${id}b netns ${child.pid}`,
        `ip addr add ${near}/30 dev nb${id}a`,
        `ip link set nb${id}a up`,
        ...[
          "ip link set lo up",
          `ip addr add ${far}/30 dev nb${id}b`,
          `ip addr add ${metadata}/32 dev lo`,
          `ip link set nb${id}b up`,
          `ip route add default via ${near}`,
        ].map((line) => `${inside.join(" ")} ${line}`),
        `ip route add ${metadata}/32 via ${far}`,
      ]
    ) await command(...line.split(" ") as [string, ...string[]]);
    return new Neighbour(child, far, metadata);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stdin.close();
    await this.#child.status;
  }
}

/** What tests and engines make and remove at any time. */
const PASSING = /^(lo|b[te]|nb|veth|podman|docker)/;

/** An address of this machine that stays. */
export const ownAddress = (): string =>
  Deno.networkInterfaces().find(({ name, family }) => family === "IPv4" && !PASSING.test(name))!.address;

/** What connects containers on this machine: ends of their links, and bridges. */
const TO_CONTAINERS = /^be[0-9a-f]+$/;

/** This machine's addresses that stay, and those by which its containers are connected, as these would call them. */
export function addressesOf(): string[] {
  const own = Deno.networkInterfaces().filter(({ name, family }) =>
    TO_CONTAINERS.test(name) || family === "IPv4" && !PASSING.test(name)
  );
  const addresses = own.map(({ address }) => address.startsWith("fe80") ? `${address}%eth0` : address);
  return [...new Set(addresses)];
}

/** For Python: the address of a container, which it is not told by its name. */
export const OWN_ADDRESS = `def own_address():
  import socket
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way_out:
    way_out.connect(("192.0.2.9", 9))
    return way_out.getsockname()[0]
`;

/** The same, with a port of its own where it says hello to whoever connects, until its container ends. */
export const ANSWERING = `import socket, threading
${OWN_ADDRESS}
def serve(listener):
  while True:
    listener.accept()[0].sendall(b"hello")
def fn(_, ctx):
  listener = socket.create_server(("0.0.0.0", 0))
  threading.Thread(target=serve, args=(listener,), daemon=True).start()
  return [own_address(), listener.getsockname()[1]]
`;

/** TCP ports on which this machine listens, on any of its addresses. */
export const listening = async (): Promise<number[]> =>
  (await command("cat", "/proc/net/tcp", "/proc/net/tcp6")).split("\n").flatMap((line) => {
    const [, , port, state] = /^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ ([0-9A-F]{2})/.exec(line) ?? [];
    return state === "0A" ? [parseInt(port!, 16)] : [];
  });
