/** A Docker Engine for tests: its own socket, storage and bridge, so that one that is on the machine is left alone. */
import { OciClient } from "../../../runner/engines/oci/client.ts";
import { realFetch } from "../../../sdk/ports.ts";
import { attempt, command, Daemon } from "./daemon.ts";
import type { TestEngine } from "./engine.ts";

/** @param liveRestore containers go on when the engine is killed */
export async function startDocker({ liveRestore = false } = {}): Promise<TestEngine> {
  const dir = await Deno.makeTempDir({ prefix: "berth-docker-" });
  const socket = `${dir}/docker.sock`;
  const bridge = await Bridge.create();
  const client = new OciClient({ socket, fetch: realFetch });
  const start = async () => {
    await clearStale(dir);
    return await Daemon.start({
      command: "dockerd",
      args: args(dir, bridge.name, liveRestore),
      dir,
      ready: () => client.version(),
    });
  };
  let daemon = await start().catch(async (error) => {
    await bridge.remove();
    throw error;
  });
  return {
    name: "docker",
    socket,
    client,
    gateway: bridge.address,
    kill: async () => {
      daemon.kill("SIGKILL");
      await daemon.ended;
    },
    start: async () => {
      daemon = await start();
    },
    stop: async () => {
      await endContainers(client);
      client.close();
      await daemon.stop();
      await bridge.remove();
      await attempt("umount", "--lazy", `${dir}/data`); // the engine leaves its own bind mount behind
      await Deno.remove(dir, { recursive: true });
    },
  };
}

const args = (dir: string, bridge: string, liveRestore: boolean): string[] => [
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
  ...liveRestore ? ["--live-restore"] : [],
];

/**
 * After a kill the engine's containerd dies too, but may stay as a zombie where nobody collects it: the next engine would take
 * the pid in its file for a running one, and wait for it in vain.
 */
async function clearStale(dir: string): Promise<void> {
  await Deno.remove(`${dir}/engine.pid`).catch(() => {});
  const folder = `${dir}/exec/containerd`;
  const pid = (await Deno.readTextFile(`${folder}/containerd.pid`).catch(() => "")).trim();
  const commandLine = await Deno.readTextFile(`/proc/${pid}/cmdline`).catch(() => "");
  if (commandLine.includes("containerd")) return;
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

async function endContainers(client: OciClient): Promise<void> {
  const all = await client.containers("").catch(() => []);
  await Promise.all(all.map(({ Id }) => client.remove(Id).catch(() => {})));
}

/** A bridge with a subnet that nobody uses, and a way out for what is attached to it. */
class Bridge {
  readonly name: string;
  readonly address: string;

  private constructor(name: string, address: string) {
    this.name = name;
    this.address = address;
  }

  static async create(): Promise<Bridge> {
    const [a, b, c] = crypto.getRandomValues(new Uint8Array(3));
    const subnet = `10.${200 + a! % 50}.${b! % 255}`;
    const bridge = new Bridge(
      `bt${[a, b, c].map((n) => n!.toString(16).padStart(2, "0")).join("")}`,
      `${subnet}.1`,
    );
    await command("ip", "link", "add", bridge.name, "type", "bridge");
    await command("ip", "addr", "add", `${bridge.address}/24`, "dev", bridge.name);
    await command("ip", "link", "set", bridge.name, "up");
    const chain = "type nat hook postrouting priority srcnat;";
    const masquerade = `ip saddr ${subnet}.0/24 oifname != "${bridge.name}" masquerade`;
    await command(
      "nft",
      `add table ip ${bridge.name}; add chain ip ${bridge.name} out { ${chain} }; add rule ip ${bridge.name} out ${masquerade}`,
    );
    return bridge;
  }

  async remove(): Promise<void> {
    await attempt("nft", "delete", "table", "ip", this.name);
    await attempt("ip", "link", "del", this.name);
  }
}
