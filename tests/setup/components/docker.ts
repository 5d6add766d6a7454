/** A Docker Engine for tests: its own socket, storage and bridge, so that one that is on the machine is left alone. */
import { OciClient } from "../../../runner/engines/oci/client.ts";
import { realFetch } from "../../../sdk/ports.ts";
import { read } from "../../../sdk/proc.ts";
import { untilTrue } from "../until.ts";
import { command, Daemon, Guard } from "./daemon.ts";
import { type TestEngine, WRAPPED, wrapRuntime } from "./engine.ts";

/** @param registries hosts that are spoken to without TLS, beside those of this machine */
export async function startDocker(registries: readonly string[] = []): Promise<TestEngine> {
  const dir = await Deno.makeTempDir({ prefix: "berth-docker-" });
  const socket = `${dir}/docker.sock`;
  const bridge = newBridge();
  const guard = new Guard([dir], dir, `nft delete table ip ${bridge.name}; ip link del ${bridge.name}`);
  const client = new OciClient({ socket, fetch: realFetch });
  const ready = () => client.version();
  const start = async () => {
    await clearStale(dir);
    return await Daemon.start({ command: "dockerd", args: args(dir, bridge.name, registries), dir, ready });
  };
  try {
    await layBridge(bridge);
    await wrapRuntime(dir);
    let daemon = await start();
    return {
      name: "docker",
      socket,
      client,
      gateway: bridge.address,
      kill: (signal) => daemon.kill(signal),
      start: async () => {
        daemon = await start();
      },
      stop: async () => {
        client.close();
        await guard.clean();
      },
    };
  } catch (error) {
    await guard.clean();
    throw error;
  }
}

const args = (dir: string, bridge: string, registries: readonly string[]): string[] => [
  ...registries.flatMap((host) => ["--insecure-registry", host]),
  "--add-runtime",
  `${WRAPPED}=${dir}/${WRAPPED}`,
  "--data-root",
  `${dir}/data`,
  "--exec-root",
  `${dir}/exec`,
  "--pidfile",
  `${dir}/engine.pid`,
  "--host",
  `unix://${dir}/docker.sock`,
  "--storage-driver",
  "overlay2",
  "--bridge",
  bridge,
  // It would change the rules of the whole machine, and leave them there. The bridge brings its own.
  "--iptables=false",
  "--ip6tables=false",
  "--log-level",
  "warn",
  // A pull that fails is tried again for a minute otherwise.
  "--max-download-attempts",
  "1",
];

/**
 * After a kill the engine's containerd dies too, a moment later, but may stay as a zombie where nobody collects it: the next engine would
 * take the pid in its file for a running one, and wait for it in vain.
 */
async function clearStale(dir: string): Promise<void> {
  await Deno.remove(`${dir}/engine.pid`).catch(() => {});
  const folder = `${dir}/exec/containerd`;
  const pid = read(`${folder}/containerd.pid`)?.trim();
  await untilTrue("its containerd has ended", () => !read(`/proc/${pid}/cmdline`)?.includes("containerd"));
  for await (const { name } of dirOf(folder)) {
    if (/\.(pid|sock.*)$/.test(name)) await Deno.remove(`${folder}/${name}`).catch(() => {});
  }
}

async function* dirOf(folder: string): AsyncGenerator<Deno.DirEntry> {
  try {
    yield* Deno.readDir(folder);
  } catch {
    // It is not there yet.
  }
}

interface Bridge {
  readonly name: string;
  /** Of this machine, on the bridge. */
  readonly address: string;
}

/** With a subnet that nobody else is likely to use. */
function newBridge(): Bridge {
  const [a, b, c] = crypto.getRandomValues(new Uint8Array(3));
  return { name: `bt${new Uint8Array([a!, b!, c!]).toHex()}`, address: `10.${200 + a! % 50}.${b! % 255}.1` };
}

/** A bridge with a way out for what is attached to it. */
async function layBridge({ name, address }: Bridge): Promise<void> {
  await command("ip", "link", "add", name, "type", "bridge");
  await command("ip", "addr", "add", `${address}/24`, "dev", name);
  await command("ip", "link", "set", name, "up");
  const masquerade = `ip saddr ${address}/24 oifname != "${name}" masquerade`;
  const chain = `add chain ip ${name} out { type nat hook postrouting priority srcnat; }`;
  await command("nft", `add table ip ${name}; ${chain}; add rule ip ${name} out ${masquerade}`);
}
