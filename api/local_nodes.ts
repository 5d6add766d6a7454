/** Pools of this machine: their provider, kept by one process at a time for each folder. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LocalProvider } from "../scheduler/providers/local.ts";
import type { Clock, Log } from "../sdk/ports.ts";

export const RUNNER_MAIN = fileURLToPath(new URL("../runner/main.ts", import.meta.url));

export interface LocalNodesOptions {
  /** Where the nodes' folders are. */
  readonly folder: string;
  /** The api, as runners take it. */
  readonly api: () => string;
  readonly env: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly log: Log;
}

export interface LocalNodes {
  readonly provider: LocalProvider;
  /** Names whoever keeps this folder, the same after a restart. */
  readonly keeper: string;
  /** Lets another process have the folder. The nodes go on. */
  release(): void;
}

/** Null when another process keeps the nodes of this folder. The system frees the lock when its holder ends, however it ends. */
export async function openLocalNodes({ folder, ...rest }: LocalNodesOptions): Promise<LocalNodes | null> {
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  const root = await Deno.realPath(folder);
  const lock = await Deno.open(join(root, "keeper.lock"), { create: true, write: true });
  if (!await lock.tryLock(true)) {
    lock.close();
    rest.log("nodes.kept_elsewhere", { folder: root });
    return null;
  }
  const provider = new LocalProvider({ ...rest, folder: root, runner: RUNNER_MAIN });
  return { provider, keeper: `${Deno.hostname()}:${root}`, release: () => lock.close() };
}
