/**
 * The folder of one `berth up`: what lies where in it, and the lock that keeps a second one out. The system frees the lock when
 * its holder ends, however it ends.
 *
 * `postgres/` the database · `blobs/` checkpoints and bundles, unless they lie on S3 · `runner/` the runner's own · `nodes/` nodes of pools · `key` the admin key ·
 * `secrets.keys` what seals secrets · `up.json` who runs it · `up.lock`
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { CliError, EXIT } from "../../sdk/cli/failure.ts";

export interface Folder {
  readonly root: string;
  readonly postgres: string;
  readonly blobs: string;
  readonly runner: string;
  readonly nodes: string;
  /** Where the runner of this machine finds the api. */
  readonly socket: string;
  /** Says who runs it, to those who come later. */
  announce(who: { pid: number; url: string }): Promise<void>;
  release(): void;
}

/** Longest path of a unix socket that every system takes. */
const SOCKET_PATH_MAX = 100;

/** Makes the folder when there is none, and locks it. */
export async function openFolder(dir: string, tmp: string): Promise<Folder> {
  const root = await madeFolder(dir);
  const lock = await Deno.open(join(root, "up.lock"), { create: true, write: true });
  if (!await lock.tryLock(true)) {
    lock.close();
    throw new CliError(EXIT.platform, `Cannot start in ${root}: ${await holder(root)}`, {
      hint: "Stop it first, or choose another folder with --data.",
    });
  }
  return {
    root,
    postgres: join(root, "postgres"),
    blobs: join(root, "blobs"),
    runner: join(root, "runner"),
    nodes: join(root, "nodes"),
    socket: await socketPath(root, tmp),
    announce: (who) => Deno.writeTextFile(join(root, "up.json"), JSON.stringify(who)),
    release: () => lock.close(),
  };
}

async function madeFolder(dir: string): Promise<string> {
  try {
    await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
    return await Deno.realPath(dir);
  } catch (cause) {
    throw new CliError(EXIT.platform, `Cannot use ${dir} as data folder: ${(cause as Error).message}`, {
      cause,
    });
  }
}

async function holder(root: string): Promise<string> {
  try {
    const { pid, url } = JSON.parse(await Deno.readTextFile(join(root, "up.json")));
    return `another \`berth up\` runs there (pid ${pid}, ${url})`;
  } catch {
    return "another `berth up` is starting there";
  }
}

/** In the folder, or where that path is too long, in a private folder named after it. */
async function socketPath(root: string, tmp: string): Promise<string> {
  const near = join(root, "api.sock");
  if (near.length <= SOCKET_PATH_MAX) return near;
  const dir = join(tmp, `berth-${createHash("sha256").update(root).digest("hex").slice(0, 16)}`);
  await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
  const { uid, mode } = await Deno.lstat(dir);
  if (uid !== Deno.uid() || ((mode ?? 0) & 0o077) !== 0) {
    throw new CliError(EXIT.platform, `Cannot use ${dir} for a socket: it belongs to somebody else`);
  }
  return join(dir, "api.sock");
}
