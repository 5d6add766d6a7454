/** The bundle as it travels and is stored: one JSON document with sorted keys, named by its SHA-256. */
import { LIMITS } from "../protocol/limits.ts";
import { SourceError } from "./failure.ts";

/** Text, or bytes that are no text. */
export type BundleFile = string | { readonly base64: string };

export interface BundleDocument {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly digest: string;
}

/** The same files give the same digest, whatever order they come in. */
export async function bundleDocument(files: Readonly<Record<string, BundleFile>>): Promise<BundleDocument> {
  const sorted = Object.fromEntries(Object.keys(files).sort().map((name) => [name, files[name]!]));
  const bytes = new TextEncoder().encode(JSON.stringify({ version: 1, files: sorted }));
  if (bytes.length > LIMITS.bundleBytes) {
    const [size, most] = [bytes.length, LIMITS.bundleBytes].map((n) => Math.ceil(n / 1024 / 1024));
    throw new SourceError(
      `Cannot deploy: the bundle is ${size} MiB, more than the ${most} MiB a bundle may have`,
      {
        hint: 'Leave large npm packages out of it: new App(NAME, { external: ["npm:PACKAGE"] }).',
      },
    );
  }
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return { bytes, digest: hash.toHex() };
}
