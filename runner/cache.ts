/** Bundles on this node, by digest: fetched once, checked, unpacked once, copied into each slot that needs one. */
import { z } from "zod";
import { StartError } from "./engine.ts";

/** A bundle as it travels: one JSON document. */
const Bundle = z.object({
  version: z.literal(1),
  files: z.record(z.string(), z.union([z.string(), z.object({ base64: z.base64() })])),
});
type Content = z.infer<typeof Bundle>["files"][string];

export class BundleCache {
  readonly #folder: string;
  /** Under way or done. */
  readonly #unpacked = new Map<string, Promise<string>>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The folder of an unpacked bundle; `fetch` brings its bytes when they are not here. */
  async get(digest: string, fetch: () => Promise<Uint8Array<ArrayBuffer>>): Promise<string> {
    for (let others = this.#unpacked.get(digest); others !== undefined; others = this.#unpacked.get(digest)) {
      const folder = await others.catch(() => null);
      if (folder !== null) return folder; // else whoever fetched it failed, or was stopped
    }
    const unpacking = this.#obtain(digest, fetch);
    this.#unpacked.set(digest, unpacking);
    unpacking.catch(() => this.#unpacked.delete(digest));
    return await unpacking;
  }

  async #obtain(digest: string, fetch: () => Promise<Uint8Array<ArrayBuffer>>): Promise<string> {
    const folder = `${this.#folder}/${digest}`;
    if (await exists(folder)) return folder;
    const bytes = await fetch();
    await check(digest, bytes);
    const files = parseBundle(bytes);
    // Unpacked beside its place and then moved there: a half one is never taken for whole.
    const temporary = `${folder}.new`;
    await Deno.remove(temporary, { recursive: true }).catch(() => {});
    await unpack(files, temporary);
    await Deno.rename(temporary, folder);
    return folder;
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

/** Copies a folder. Copies, not links: what runs there may write to them. */
export async function copyTree(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyTree(`${from}/${name}`, `${to}/${name}`);
    else await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
