/** Files on their way to the platform and back: in pieces, with how far they are, and only whole. */
import { createHash } from "node:crypto";
import { exchange, type Wire } from "../transport.ts";
import type { Job } from "./cli.ts";
import { CliError, EXIT, usageError } from "./failure.ts";
import { progressBar } from "./progress_bar.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Passes = TransformStream<Bytes, Bytes>;

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
  const read = (await Deno.open(path)).readable.pipeThrough(progress(job, "reading", size));
  for await (const piece of read) hash.update(piece);
  job.output.clearStatus();
  return { path, size, digest: hash.digest("hex") };
}

/** Sends a file with PUT; answers the JSON that comes back. A repeat reads it again. */
export async function sendFile<T>(
  job: Job,
  wire: Wire,
  path: string,
  { path: file, size }: SentFile,
): Promise<T> {
  const request = {
    method: "PUT",
    path,
    body: () => readableOf(file).pipeThrough(progress(job, "sending", size)),
  } as const;
  try {
    return await exchange(wire, request, (response) => response.json() as Promise<T>);
  } finally {
    job.output.clearStatus();
  }
}

/** Fetches bytes into a file, which is there once they are whole and have the digest. */
export async function fetchFile(
  job: Job,
  wire: Wire,
  path: string,
  { path: file, digest, size }: SentFile,
): Promise<void> {
  const part = `${file}.part`;
  try {
    const actual = await exchange(
      wire,
      { method: "GET", path },
      (response) => write(job, response, part, size),
    );
    if (actual !== digest) {
      throw new CliError(
        EXIT.platform,
        `Cannot keep ${file}: the SHA-256 of what came is ${actual}, not ${digest}`,
      );
    }
    await Deno.rename(part, file);
  } finally {
    job.output.clearStatus();
    await Deno.remove(part).catch(() => {});
  }
}

async function write(job: Job, response: Response, path: string, size: number): Promise<string> {
  const hash = createHash("sha256");
  const body = (response.body ?? new Blob([]).stream()).pipeThrough(progress(job, "fetching", size));
  using file = await Deno.open(path, { write: true, create: true, truncate: true });
  for await (const piece of body) {
    hash.update(piece);
    for (let at = 0; at < piece.length;) at += await file.write(piece.subarray(at));
  }
  return hash.digest("hex");
}

async function sizeOf(path: string): Promise<number> {
  const found = await Deno.stat(path).catch(() => null);
  if (found?.isFile) return found.size;
  throw usageError(`Cannot read ${path}: ${found === null ? "there is no such file" : "it is no file"}`);
}

/** Opened when it is first read. */
function readableOf(path: string): ReadableStream<Bytes> {
  const through = new TransformStream<Bytes, Bytes>();
  Deno.open(path).then(
    (file) => file.readable.pipeTo(through.writable),
    (error) => through.writable.abort(error),
  ).catch(() => {}); // whoever reads hears of it
  return through.readable;
}

/** Shows how far it is, at the bottom of a terminal. */
function progress(job: Job, deed: string, total: number): Passes {
  let done = 0;
  return new TransformStream({
    transform(piece, controller) {
      done += piece.length;
      job.output.status(`${deed}  ${progressBar(Math.round(done / MIB), Math.ceil(total / MIB))} MiB`);
      controller.enqueue(piece);
    },
  });
}
