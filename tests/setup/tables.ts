/** Tables of nft on this machine. */
import { command } from "./components/daemon.ts";

/** Their names. */
export const tables = async (): Promise<string[]> =>
  (await command("nft", "list", "tables")).trim().split("\n").map((line) => line.split(" ").at(-1)!);

/** Those of the runner of this folder that belong to no network of an engine: of links, and of ranks. */
export async function tablesOf(data: string): Promise<string[]> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(data)));
  const start = `be${digest.toHex().slice(0, 12)}_`;
  return (await tables()).filter((name) => name.startsWith(start));
}

/** Those of one container each. */
export const tablesOfOne = async (data: string): Promise<string[]> =>
  (await tablesOf(data)).filter((name) => /_be[0-9a-f]{8}$/.test(name));
