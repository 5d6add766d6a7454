/** Secrets that come as files: in the container's folder on this machine, each mounted where its function asks for it. */
import type { DeliveredSecret } from "../../../sdk/protocol.ts";
import { writeSecretFiles } from "../../secret_files.ts";
import { INSIDE, type Owner } from "./folder.ts";
import type { Mount } from "./sandbox.ts";

/** The folder of a secret, as its guest sees it. */
export const secretFolder = ({ name, path }: DeliveredSecret): string => path ?? `${INSIDE.secrets}/${name}`;

/** Secrets that share a folder, as one; of two values with one key the later is taken. */
export function byFolder(secrets: readonly DeliveredSecret[]): Map<string, DeliveredSecret> {
  const folders = new Map<string, DeliveredSecret>();
  for (const secret of secrets.filter(({ as }) => as === "files")) {
    const folder = secretFolder(secret);
    const values = { ...folders.get(folder)?.values, ...secret.values };
    folders.set(folder, { ...secret, values });
  }
  return folders;
}

/** Writes them below `dir`, for the user of the container alone. */
export async function mountSecrets(
  secrets: readonly DeliveredSecret[],
  dir: string,
  { uid, gid }: Owner,
): Promise<Mount[]> {
  const mounts: Mount[] = [];
  for (const [target, secret] of byFolder(secrets)) {
    const source = `${dir}/${mounts.length}`;
    await writeSecretFiles([secret], () => source);
    const files = Object.keys(secret.values).map((key) => `${source}/${key}`);
    await Promise.all([source, ...files].map((path) => Deno.chown(path, uid, gid)));
    mounts.push({ source, target, readOnly: true });
  }
  return mounts;
}
