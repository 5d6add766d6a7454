/** Bundles on this node, by digest: fetched once, checked, unpacked once, copied to each container that needs one. */
import { z } from "zod";
import { type StartContext, StartError } from "./engine.ts";
import type { Shelf } from "./engines/shelf.ts";

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
  readonly #shelf: Shelf;
  /** What is in those that were used. */
  readonly #surveyed = new Map<string, Promise<Unpacked>>();

  constructor(shelf: Shelf) {
    this.#shelf = shelf;
  }

  /** An unpacked bundle, which stays until the start is over; `bundle` brings its bytes when they are not here. */
  async get(digest: string, { bundle, over }: Pick<StartContext, "bundle" | "over">): Promise<Unpacked> {
    for (let isOurs = false;;) {
      try {
        const home = await this.#shelf.hold(digest, over, async (home) => {
          isOurs = true;
          await obtain(digest, `${home}/${FILES}`, bundle);
        });
        const known = this.#surveyed.get(digest) ?? survey(`${home}/${FILES}`);
        this.#surveyed.set(digest, known);
        return await known;
      } catch (error) {
        if (isOurs) throw error; // else whoever fetched it failed, or was stopped
      }
    }
  }
}

/** Of a bundle on its shelf. */
const FILES = "files";

async function obtain(digest: string, folder: string, download: StartContext["bundle"]): Promise<void> {
  const bytes = await download(digest);
  await check(digest, bytes);
  await unpack(parseBundle(bytes), folder);
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
