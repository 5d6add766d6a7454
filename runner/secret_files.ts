/** Secrets that come as files, on this machine's disk: readable by the runner's user alone, and gone with the folder they are in. */
import type { DeliveredSecret } from "../sdk/protocol.ts";

/** Writes each secret that comes as files into the folder that `folderOf` names. */
export async function writeSecretFiles(
  secrets: readonly DeliveredSecret[],
  folderOf: (secret: DeliveredSecret) => string,
): Promise<void> {
  for (const secret of secrets.filter(({ as }) => as === "files")) {
    const folder = folderOf(secret);
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    for (const [key, value] of Object.entries(secret.values)) {
      await Deno.writeTextFile(`${folder}/${key}`, value, { mode: 0o400, createNew: true });
    }
  }
}
