/** Bundles on this node, by digest: fetched once, checked, unpacked once, copied to each container that needs one. */
import { z } from "zod";
import { StartError } from "./engine.ts";

/** A bundle as it travels: one JSON document. */
const Bundle = z.object({
  version: z.literal(1),
  files: z.record(z.string(), z.union([z.string(), z.object({ base64: z.base64() })])),
});
/** An unpacked bundle. */
export interface Unpacked {
  readonly folder: string;
  /** Paths inside it, folders before what is in them. */
  readonly entries: readonly { readonly path: string; readonly isFolder: boolean }[];
  readonly bytes: number;
}

/** Smaller ones are copied at once: a few file operations take less time than a round through the thread pool. */
const COPY_AT_ONCE_BYTES = 1024 * 1024;

type Content = z.infer<typeof Bundle>["files"][string];

export class BundleCache {
  readonly #folder: string;
  /** Under way or done. */
  readonly #unpacked = new Map<string, Promise<Unpacked>>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** An unpacked bundle; `download` brings its bytes when they are not here. */
  async get(digest: string, download: () => Promise<Uint8Array<ArrayBuffer>>): Promise<Unpacked> {
    for (let others = this.#unpacked.get(digest); others !== undefined; others = this.#unpacked.get(digest)) {
      const bundle = await others.catch(() => null);
      if (bundle !== null) return bundle; // else whoever fetched it failed, or was stopped
    }
    const unpacking = this.#obtain(digest, download);
    this.#unpacked.set(digest, unpacking);
    unpacking.catch(() => this.#unpacked.delete(digest));
    return await unpacking;
  }

  async #obtain(digest: string, download: () => Promise<Uint8Array<ArrayBuffer>>): Promise<Unpacked> {
    const folder = `${this.#folder}/${digest}`;
    if (await exists(folder)) return await survey(folder);
    const bytes = await download();
    await check(digest, bytes);
    const files = parseBundle(bytes);
    // Unpacked beside its place and then moved there: a half one is never taken for whole.
    const temporary = `${folder}.new`;
    await Deno.remove(temporary, { recursive: true }).catch(() => {});
    await unpack(files, temporary);
    await Deno.rename(temporary, folder);
    return await survey(folder);
  }
}

async function check(digest: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const actual = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  if (actual !== digest) {
    throw new StartError(`Cannot use bundle ${digest.slice(0, 12)}…: its bytes have the digest ${actual}`);
  }
}

/** The files of a bundle, by their path. Throws when it is not one, or names a place outside its folder. */
export function parseBundle(bytes: Uint8Array): Record<string, Content> {
  try {
    const { files } = Bundle.parse(JSON.parse(new TextDecoder().decode(bytes)));
    const stray = Object.keys(files).find((path) => !staysInside(path));
    if (stray !== undefined) throw new Error(`the path "${stray}" leads outside`);
    return files;
  } catch (error) {
    throw new StartError(`Cannot unpack the bundle: ${error instanceof Error ? error.message : error}`);
  }
}

function staysInside(path: string): boolean {
  const parts = path.split("/");
  return path.length <= 1_024 && !/[\0\\]/.test(path) &&
    parts.every((part) => part !== "" && part !== "." && part !== "..");
}

async function unpack(files: Record<string, Content>, folder: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  for (const [path, content] of Object.entries(files)) {
    const target = `${folder}/${path}`;
    await Deno.mkdir(target.slice(0, target.lastIndexOf("/")), { recursive: true });
    if (typeof content === "string") await Deno.writeTextFile(target, content);
    else await Deno.writeFile(target, Uint8Array.fromBase64(content.base64));
  }
}

async function survey(folder: string): Promise<Unpacked> {
  const entries: Unpacked["entries"][number][] = [];
  let bytes = 0;
  const visit = async (inside: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(`${folder}/${inside}`)) {
      const path = `${inside}${name}`;
      entries.push({ path, isFolder: isDirectory });
      if (isDirectory) await visit(`${path}/`);
      else bytes += (await Deno.stat(`${folder}/${path}`)).size;
    }
  };
  await visit("");
  return { folder, entries, bytes };
}

/** Copies a bundle. A copy, not links: what runs there may write to it. */
export async function copyBundle({ folder, entries, bytes }: Unpacked, to: string): Promise<void> {
  Deno.mkdirSync(to, { recursive: true });
  for (const { path, isFolder } of entries) {
    if (isFolder) Deno.mkdirSync(`${to}/${path}`);
    else if (bytes <= COPY_AT_ONCE_BYTES) Deno.copyFileSync(`${folder}/${path}`, `${to}/${path}`);
    else await Deno.copyFile(`${folder}/${path}`, `${to}/${path}`);
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
