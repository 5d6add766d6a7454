/**
 * A real S3 server for tests: a Ceph cluster of one monitor, one store in memory and one gateway, in a folder of its own, on
 * free loopback ports. Up in some seconds, since it has no manager, makes its keys offline and settles its elections at once.
 */
import { join } from "node:path";
import { freePort } from "../postgres.ts";
import { until } from "../until.ts";

/** What clients need to know of it. */
export interface S3Server {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** The cluster's configuration, for gateways beside the first. */
  readonly conf: string;
}

export interface Gateway {
  readonly endpoint: string;
  /** Ends it without ceremony, as a crash does. */
  kill(): Promise<void>;
}

/** Debian's administration tools are not on everybody's path. */
const PATH = `${Deno.env.get("PATH") ?? ""}:/usr/sbin:/sbin`;
const USER = { accessKeyId: "test-key", secretAccessKey: "test-secret" };
const LOOPBACK = "127.0.0.1";
const START_MS = 60_000;

/** Starts a cluster and its gateway; `stop` ends every process and removes the folder, without a wait, so that it can come last. */
export async function startCeph(): Promise<S3Server & { readonly stop: () => void }> {
  const folder = await Deno.makeTempDir({ prefix: "berth-ceph-" });
  const daemons: Daemon[] = [];
  const stop = () => {
    for (const daemon of daemons) daemon.end();
    removeFolder(folder);
  };
  try {
    const conf = await startCluster(folder, daemons);
    const gateway = await startDaemonOfGateway(conf, freePort());
    daemons.push(gateway.daemon);
    const { accessKeyId, secretAccessKey } = USER;
    await run("radosgw-admin", [
      ...["-c", conf, "user", "create", "--uid=test", "--display-name=test"],
      ...[`--access-key=${accessKeyId}`, `--secret-key=${secretAccessKey}`],
    ], folder);
    return { ...USER, endpoint: gateway.endpoint, conf, stop };
  } catch (error) {
    stop();
    throw error;
  }
}

/** One more gateway to the same cluster. On the port of one that was killed, it is that one restarted. */
export async function startGateway(conf: string, port = freePort(), hostname = LOOPBACK): Promise<Gateway> {
  const { endpoint, daemon } = await startDaemonOfGateway(conf, port, hostname);
  return { endpoint, kill: () => daemon.kill() };
}

async function startCluster(folder: string, daemons: Daemon[]): Promise<string> {
  const conf = join(folder, "ceph.conf");
  const [fsid, store, port] = [crypto.randomUUID(), crypto.randomUUID(), freePort()];
  for (const name of ["mon", "osd", "run", "log"]) await Deno.mkdir(join(folder, name));
  await Deno.writeTextFile(conf, configuration(folder, fsid, port));
  await makeKeys(folder);
  const address = `[v2:127.0.0.1:${port}]`;
  await run("monmaptool", ["--create", "--addv", "a", address, "--fsid", fsid, "monmap"], folder);
  await run(
    "ceph-mon",
    ["-c", conf, "--mkfs", "-i", "a", "--monmap", "monmap", "--keyring", "keys"],
    folder,
  );
  daemons.push(new Daemon("ceph-mon", ["-f", "-c", conf, "-i", "a"]));
  // Waits for the monitor by itself.
  await run("ceph", ["-c", conf, "--connect-timeout", "30", "osd", "new", store, "0"], folder);
  await run("ceph-osd", ["-c", conf, "-i", "0", "--mkfs", "--osd-uuid", store], folder);
  daemons.push(new Daemon("ceph-osd", ["-f", "-c", conf, "-i", "0"]));
  return conf;
}

async function makeKeys(folder: string): Promise<void> {
  const keys = [
    ["mon.", "mon", "allow *"],
    ["client.admin", "mon", "allow *", "osd", "allow *", "mgr", "allow *"],
    ["osd.0", "mon", "allow profile osd", "mgr", "allow profile osd", "osd", "allow *"],
    ["client.rgw.a", "mon", "allow rw", "osd", "allow rwx"],
  ] as const;
  for (const [i, [name, ...caps]] of keys.entries()) {
    const allowed = caps.flatMap((word, i) => i % 2 === 0 ? ["--cap", word] : [word]);
    await run(
      "ceph-authtool",
      [...i === 0 ? ["-C"] : [], "keys", "--gen-key", "-n", name, ...allowed],
      folder,
    );
  }
}

async function startDaemonOfGateway(
  conf: string,
  port: number,
  hostname = LOOPBACK,
): Promise<{ endpoint: string; daemon: Daemon }> {
  const endpoint = `http://${hostname}:${port}`;
  const frontend = `beast endpoint=${hostname}:${port}`;
  const daemon = new Daemon("radosgw", [
    "-f",
    "-c",
    conf,
    "-n",
    "client.rgw.a",
    `--rgw-frontends=${frontend}`,
  ]);
  const answers = () => fetch(endpoint).then((answer) => answer.text(), () => null);
  await until(`radosgw answers at ${endpoint}`, answers, START_MS);
  return { endpoint, daemon };
}

/** A process that ends with us, however we end. */
class Daemon {
  readonly #child: Deno.ChildProcess;

  constructor(command: string, args: readonly string[]) {
    this.#child = new Deno.Command("setpriv", {
      args: ["--pdeathsig", "KILL", command, ...args],
      env: { PATH },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
  }

  /** Nothing of it is to be kept, and on a TERM it takes its time. */
  end(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }

  async kill(): Promise<void> {
    this.end();
    await this.#child.status;
  }
}

/** A process that is being killed may still write the file that it is at. */
function removeFolder(folder: string, tries = 100): void {
  try {
    Deno.removeSync(folder, { recursive: true });
  } catch (error) {
    if (tries === 0) throw error;
    removeFolder(folder, tries - 1);
  }
}

async function run(command: string, args: readonly string[], cwd: string): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args: [...args], cwd, env: { PATH } })
    .output();
  if (!success) {
    throw new Error(`Cannot run ${command} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  }
}

const configuration = (folder: string, fsid: string, port: number): string =>
  `[global]
fsid = ${fsid}
mon initial members = a
mon host = [v2:127.0.0.1:${port}]
public network = 127.0.0.0/8
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
osd crush chooseleaf type = 0
paxos propose interval = 0.05
paxos min wait = 0.01
osd objectstore = memstore
memstore device bytes = 4294967296
run dir = ${folder}/run
admin socket = ${folder}/run/$name.$pid.asok
log file = ${folder}/log/$name.log
pid file = ${folder}/run/$name.$pid.pid
mon data = ${folder}/mon
osd data = ${folder}/osd
keyring = ${folder}/keys
rgw dns name = localhost
`;
