/** Podman's API service for tests, with its own storage, networks and configuration. */
import { OciClient } from "../../../runner/engines/oci/client.ts";
import { parseLimits } from "../../../runner/engines/oci/sandbox.ts";
import { realFetch } from "../../../sdk/ports.ts";
import { Daemon, Guard } from "./daemon.ts";
import { type TestEngine, WRAPPED, wrapRuntime } from "./engine.ts";

/**
 * @param registries hosts that are spoken to without TLS
 * @param through words before its command, such as those that take it into another network namespace
 */
export async function startPodman(
  registries: readonly string[],
  through: readonly string[] = [],
): Promise<TestEngine> {
  const dir = await Deno.makeTempDir({ prefix: "berth-podman-" });
  const socket = `${dir}/podman.sock`;
  const subnet = `10.${250 + crypto.getRandomValues(new Uint8Array(1))[0]! % 5}.${
    crypto.getRandomValues(new Uint8Array(1))[0]! % 255
  }`;
  await wrapRuntime(dir);
  await Deno.writeTextFile(`${dir}/containers.conf`, await containersConf(dir, subnet));
  await Deno.writeTextFile(`${dir}/registries.conf`, registriesConf(registries));
  const client = new OciClient({ socket, fetch: realFetch });
  const env = {
    CONTAINERS_CONF: `${dir}/containers.conf`,
    CONTAINERS_REGISTRIES_CONF: `${dir}/registries.conf`,
  };
  const service = ["system", "service", "--time=0", `unix://${socket}`];
  const start = async () => {
    await Deno.remove(socket).catch(() => {});
    // In a folder of its own: its monitor drops files named `oom` where it was started.
    const [command, ...args] = [...through, "podman", ...flags(dir), ...service];
    return await Daemon.start({
      command: command!,
      args,
      env,
      dir,
      ready: () => client.version(),
    });
  };
  // Containers outlive their service, and what its network helper made outlives them.
  const removeAll = `timeout 60 ${through.join(" ")} podman ${
    flags(dir).join(" ")
  } rm --all --force --time 0`;
  const guard = new Guard([dir], dir, `${removeAll}\n${REMOVE_CHAINS}`);
  try {
    let daemon = await start();
    return {
      name: "podman",
      socket,
      client,
      gateway: `${subnet}.1`,
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

/**
 * Chains that all networks of netavark share: removed with the last network, whoever's it is. They are made again when the next
 * container starts.
 */
const REMOVE_CHAINS = `
  for family in iptables ip6tables; do
    "$family"-save | grep -Eq '^:NETAVARK-[0-9A-F]{8,} ' && continue
    for table in nat filter; do
      "$family" -w 5 -t $table -S | sed -n '/^-A [A-Z]* .*-j NETAVARK/s/^-A/-D/p' |
        xargs -r -L 1 "$family" -w 5 -t $table
      chains=$("$family" -w 5 -t $table -S | sed -n 's/^-N \\(NETAVARK.*\\)/\\1/p')
      for chain in $chains; do "$family" -w 5 -t $table -F $chain; done
      for chain in $chains; do "$family" -w 5 -t $table -X $chain; done
    done
  done`;

const flags = (dir: string): string[] => [
  "--root",
  `${dir}/storage`,
  "--runroot",
  `${dir}/run`,
  "--tmpdir",
  `${dir}/tmp`,
  "--network-config-dir",
  `${dir}/networks`,
  "--storage-driver",
  "overlay",
];

/** runc, since crun refuses machines with both kinds of cgroups; limits, since none may be above those of this process. */
async function containersConf(dir: string, subnet: string): Promise<string> {
  const { nofile, nproc } = parseLimits(await Deno.readTextFile("/proc/self/limits"));
  await Deno.mkdir(`${dir}/networks`);
  await Deno.writeTextFile(`${dir}/networks/podman.json`, JSON.stringify(defaultNetwork(subnet)));
  return `
[containers]
default_ulimits = ["nofile=${nofile}:${nofile}", "nproc=${nproc}:${nproc}"]
init_path = "/usr/libexec/podman/catatonit"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
# In its own folder: those in shared memory are one set for all of the machine, and each service that starts takes them from the others.
lock_type = "file"
[engine.runtimes]
${WRAPPED} = ["${dir}/${WRAPPED}"]
[network]
network_config_dir = "${dir}/networks"
default_subnet = "${subnet}.0/24"
`;
}

/** With a bridge of its own: by itself every service calls it `podman0`, and shares it with all others of the machine. */
function defaultNetwork(subnet: string) {
  const [, a, b] = subnet.split(".").map(Number);
  return {
    name: "podman",
    id: "0".repeat(64),
    driver: "bridge",
    network_interface: `bt${new Uint8Array([a!, b!]).toHex()}p`,
    created: new Date().toISOString(),
    subnets: [{ subnet: `${subnet}.0/24`, gateway: `${subnet}.1` }],
    ipv6_enabled: false,
    internal: false,
    dns_enabled: false,
    ipam_options: { driver: "host-local" },
  };
}

const registriesConf = (registries: readonly string[]): string =>
  [
    `short-name-mode = "disabled"`,
    ...registries.map((location) => `[[registry]]\nlocation = "${location}"\ninsecure = true`),
  ].join("\n");
