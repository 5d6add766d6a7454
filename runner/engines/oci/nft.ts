/** Rules put in force, and taken back. Names of tables begin with what tells whose they are. */
import { type Spawn, StartError } from "../../engine.ts";
import { withoutRules } from "./firewall.ts";

/** All of it or none. */
export async function nft(spawn: Spawn, script: string): Promise<void> {
  const { code, stderr } = await spawn.output({ command: "nft", args: [script] }).catch((cause) => {
    throw new StartError(`Cannot restrict the egress of the container: ${cause.message}`, { cause });
  });
  if (code !== 0) throw new StartError(`Cannot restrict the egress of the container: ${stderr.trim()}`);
}

/** Names of tables, of all families; null where rules cannot be made: containers reach all that this machine's own programs do then. */
export async function tables(spawn: Spawn): Promise<string[] | null> {
  if (Deno.uid() !== 0) return null;
  const listed = await spawn.output({ command: "nft", args: ["list tables"] }).catch(() => null);
  return listed?.code === 0 ? listed.stdout.trim().split("\n").map((line) => line.split(" ").at(-1)!) : null;
}

export async function removeTable(spawn: Spawn, name: string): Promise<void> {
  await spawn.output({ command: "nft", args: [withoutRules(name)] }).catch(() => {});
}
