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

/** Where the folders of secrets are mounted from, below `dir`. */
export const secretMounts = (secrets: readonly DeliveredSecret[], dir: string): Mount[] =>
  [...byFolder(secrets).keys()].map((target, at) => ({ source: `${dir}/${at}`, target, readOnly: true }));

/** Makes those folders, for the user of the container alone. */
export async function laySecrets(
  secrets: readonly DeliveredSecret[],
  dir: string,
  { uid, gid }: Owner,
): Promise<void> {
  for (const { source } of secretMounts(secrets, dir)) {
    await Deno.mkdir(source, { recursive: true, mode: 0o700 });
    await Deno.chown(source, uid, gid);
  }
}

/** Writes what they hold. */
export async function fillSecrets(
  secrets: readonly DeliveredSecret[],
  dir: string,
  { uid, gid }: Owner,
): Promise<void> {
  for (const [at, secret] of [...byFolder(secrets).values()].entries()) {
    const folder = `${dir}/${at}`;
    await writeSecretFiles([secret], () => folder);
    const files = Object.keys(secret.values).map((key) => `${folder}/${key}`);
    await Promise.all(files.map((path) => Deno.chown(path, uid, gid)));
  }
}
