/** Files on their way to the platform and back: in parts, with how far they are, and only whole. */
import { createHash } from "node:crypto";
import { download } from "../download.ts";
import { PlatformError } from "../errors.ts";
import { sendParts } from "../parts.ts";
import type { PublishedArtifact } from "../protocol/artifacts.ts";
import { routes } from "../protocol/routes.ts";
import { exchange, send, type Wire } from "../transport.ts";
import type { Job } from "./cli.ts";
import { CliError, EXIT, usageError } from "./failure.ts";
import { progressBar } from "./progress_bar.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const MIB = 1024 * 1024;

/** A file to be sent, and what it is known by. */
export interface SentFile {
  readonly path: string;
  readonly digest: string;
  readonly size: number;
}

/** Reads a file once, for its digest. */
export async function hashFile(job: Job, path: string): Promise<SentFile> {
  const size = await sizeOf(path);
  const hash = createHash("sha256");
  const tell = teller(job, "reading", size);
  for await (const piece of (await Deno.open(path)).readable) {
    hash.update(piece);
    tell(piece.length);
  }
  job.output.clearStatus();
  return { path, size, digest: hash.digest("hex") };
}

/** Publishes a file as the next version of an artifact: its bytes past the api, in parts, unless they are there. */
export async function publishFile(
  job: Job,
  wire: Wire,
  name: string,
  { path, digest, size }: SentFile,
): Promise<PublishedArtifact> {
  const tell = teller(job, "sending", size);
  for (;;) {
    const { upload, partBytes, parts } = await send(wire, routes.beginArtifact, { name, digest, size });
    try {
      const etags = await sendParts(parts, {
        size,
        partBytes,
        send: async ({ to, from, size }) => {
          const etag = await sendPart(wire, to, await readPart(path, from, size));
          tell(size);
          return etag;
        },
      });
      return await send(wire, routes.publishArtifact, { name, digest, size, upload, etags }, PATIENT);
    } catch (error) {
      // What was there when it began has just been deleted.
      if (!(upload === null && isAbsence(error))) throw error;
    } finally {
      job.output.clearStatus();
    }
  }
}

/** The newest version is not made again, so that this may be sent again. */
const PATIENT = { repeatable: true } as const;

async function sendPart(
  wire: Wire,
  { url, headers }: { readonly url: string; readonly headers: Readonly<Record<string, string>> },
  body: Bytes,
): Promise<string> {
  const request = { method: "PUT", path: url, headers, body } as const;
  try {
    return await exchange({ ...wire, transport: wire.transport.signed! }, request, async (response) => {
      await response.body?.cancel();
      return response.headers.get("etag") ?? "";
    });
  } catch (error) {
    if (isAbsence(error)) return ""; // an earlier try has done it, of which nothing was heard
    throw error;
  }
}

const isAbsence = (error: unknown): boolean =>
  error instanceof PlatformError && error.code === "precondition_failed";

async function readPart(path: string, from: number, size: number): Promise<Bytes> {
  using file = await Deno.open(path);
  await file.seek(from, Deno.SeekMode.Start);
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size;) {
    const read = await file.read(bytes.subarray(at));
    if (read === null) throw new CliError(EXIT.usage, `Cannot send ${path}: it became shorter meanwhile`);
    at += read;
  }
  return bytes;
}

/**
 * Fetches bytes into a file, which is there once they are whole and have the digest. What came before it broke off is kept beside it, and
 * not fetched again.
 */
export async function fetchFile(
  job: Job,
  wire: Wire,
  path: string,
  { path: file, digest, size }: SentFile,
): Promise<void> {
  const part = `${file}.${digest.slice(0, 12)}.part`;
  const tell = teller(job, "fetching", size);
  try {
    using opened = await Deno.open(part, { write: true, create: true });
    const from = await opened.seek(0, Deno.SeekMode.End);
    tell(from);
    const take = async (bytes: Bytes) => {
      await write(opened, part, bytes);
      tell(bytes.length);
    };
    await download(wire, { path, size, from, take });
  } finally {
    job.output.clearStatus();
  }
  const { digest: actual } = await hashFile(job, part);
  if (actual === digest) return await Deno.rename(part, file);
  await Deno.remove(part);
  throw new CliError(
    EXIT.platform,
    `Cannot keep ${file}: the SHA-256 of what came is ${actual}, not ${digest}`,
  );
}

async function write(file: Deno.FsFile, path: string, bytes: Bytes): Promise<void> {
  try {
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
  } catch (cause) {
    throw new PlatformError("internal", `Cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
}

async function sizeOf(path: string): Promise<number> {
  const found = await Deno.stat(path).catch(() => null);
  if (found?.isFile) return found.size;
  throw usageError(`Cannot read ${path}: ${found === null ? "there is no such file" : "it is no file"}`);
}

/** Shows how far it is, at the bottom of a terminal, each time it is told of more bytes. */
function teller(job: Job, deed: string, total: number): (bytes: number) => void {
  let done = 0;
  return (bytes) => {
    done += bytes;
    job.output.status(`${deed}  ${progressBar(Math.round(done / MIB), Math.ceil(total / MIB))} MiB`);
  };
}
