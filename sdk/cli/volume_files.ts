/** Files of volumes, to and from here. They travel as a tar, and what is fetched is here once it is whole. */
import { basename, join, resolve } from "node:path";
import { Readable, Writable } from "node:stream";
import { packTar, unpackTar } from "modern-tar/fs";
import { routes } from "../protocol/routes.ts";
import { type VolumeFile, VolumeStat } from "../protocol/volumes.ts";
import { send } from "../transport.ts";
import type { Job } from "./cli.ts";
import { CliError, EXIT, usageError } from "./failure.ts";
import { type ExecPlace, runAt } from "./inside.ts";
import { progressBar } from "./progress_bar.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const MIB = 1024 * 1024;

/** What was moved. */
export interface Moved {
  readonly files: number;
  readonly bytes: number;
}

export interface Put {
  readonly volume: string;
  /** A file or folder here. */
  readonly from: string;
  /** What it is called there; into that folder, when it ends with a slash. */
  readonly to: string;
}

/** Copies a file or folder into a volume. */
export async function putFiles(job: Job, { volume, from, to }: Put): Promise<Moved & { path: string }> {
  const source = await Deno.realPath(resolve(job.shell.cwd, from)).catch(() => null);
  if (source === null) throw usageError(`Cannot put "${from}": there is no such file or folder`);
  const name = basename(resolve(job.shell.cwd, from));
  const path = to === "" ? name : to.endsWith("/") ? `${to}${name}` : to;
  if (path.split("/").includes("..")) {
    throw usageError(`Cannot put anything at "${path}": it must be a path within the volume, without ".."`);
  }
  const moved = await sizeOf(source);
  const isFolder = (await Deno.stat(source)).isDirectory;
  // The tar of a file has it under its own name, that of a folder what is in it.
  const [folder, own] = isFolder || path === "."
    ? [path, name]
    : [path.replace(/[^/]*$/, ""), basename(path)];
  const tar = isFolder ? packTar(source) : packTar([{ type: "file", source, target: own }]);
  const shown = Readable.toWeb(tar) as ReadableStream<Bytes>;
  await run(job, volume, ["put", folder], {
    stdin: shown.pipeThrough(progress(job, "sending", moved.bytes)),
  });
  return { path, ...moved };
}

export interface Get {
  readonly volume: string;
  /** A file or folder there. */
  readonly from: string;
  /** Where to; into it, where it is a folder. */
  readonly to: string | undefined;
}

/** Copies a file or folder out of a volume; where to. */
export async function getFiles(job: Job, { volume, from, to }: Get): Promise<Moved & { path: string }> {
  const { kind, files, bytes } = await statFiles(job, volume, from);
  const name = basename(from.replace(/^[./]+$/, "")) || volume;
  const asked = resolve(job.shell.cwd, to ?? name);
  const isInto = to !== undefined && await Deno.stat(asked).then((one) => one.isDirectory, () => false);
  const path = isInto ? join(asked, name) : asked;
  if (await Deno.lstat(path).catch(() => null) !== null) {
    throw usageError(`Cannot write ${path}: it is there already`, "Name another place as the last argument");
  }
  const part = `${path}.${job.shell.random.bytes(4).toHex()}.part`;
  try {
    const leftOut = await fetchInto(job, { volume, from, part, bytes });
    await Deno.mkdir(part, { recursive: true }); // of an empty folder nothing came
    await Deno.rename(kind === "file" ? join(part, basename(from)) : part, path);
    for (const one of leftOut) {
      job.output.note(`Left out ${one}: no file, or a link that leads elsewhere`);
    }
  } finally {
    await Deno.remove(part, { recursive: true }).catch(() => {});
  }
  return { path, files, bytes };
}

interface Fetch {
  readonly volume: string;
  readonly from: string;
  readonly part: string;
  readonly bytes: number;
}

/** Answers the names of what could not travel. */
async function fetchInto(job: Job, { volume, from, part, bytes }: Fetch): Promise<string[]> {
  const through = progress(job, "fetching", bytes);
  const unpacked = through.readable.pipeTo(Writable.toWeb(unpackTar(part)) as WritableStream<Bytes>);
  const writer = through.writable.getWriter();
  unpacked.catch(() => {}); // whoever writes hears of it
  try {
    const said = await run(job, volume, ["get", from], { stdout: (piece) => writer.write(piece) });
    await writer.close();
    await unpacked;
    return said.split("\n").filter(Boolean);
  } catch (error) {
    await writer.abort(error).catch(() => {});
    throw error;
  }
}

/** What there is below a path of a volume. */
export async function statFiles(job: Job, volume: string, path: string): Promise<VolumeStat> {
  return VolumeStat.parse(JSON.parse(await textOf(job, volume, ["stat", path])));
}

/** What lies directly in a folder of a volume. */
export async function listFiles(job: Job, volume: string, path: string): Promise<VolumeFile[]> {
  const text = await textOf(job, volume, ["ls", path]);
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

async function textOf(job: Job, volume: string, command: readonly string[]): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  await run(job, volume, command, {
    stdout: (piece) => void (text += decoder.decode(piece, { stream: true })),
  });
  return text;
}

interface Ends {
  readonly stdin?: ReadableStream<Uint8Array>;
  readonly stdout?: (piece: Bytes) => void | Promise<void>;
}

/** Has something done with the files of a volume; what was said beside. */
async function run(
  job: Job,
  volume: string,
  command: readonly string[],
  { stdin, stdout }: Ends,
): Promise<string> {
  await send(job.wire(), routes.getVolume, { volume }); // says better than a socket can that there is none
  const said: string[] = [];
  const place: ExecPlace = {
    path: `/v1/volumes/${encodeURIComponent(volume)}/files`,
    failing: `Cannot reach the files of volume "${volume}"`,
    lost: `Cannot go on with volume "${volume}": the connection was lost`,
  };
  try {
    const { code } = await runAt(job, place, { command: [...command] }, {
      stdin: stdin ?? null,
      print: (stream, piece) =>
        stream === "stdout" ? stdout?.(piece) : void said.push(new TextDecoder().decode(piece)),
    });
    if (code === 0) return said.join("");
    throw new CliError(EXIT.platform, said.join("").trim() || `The transfer ended with code ${code}`);
  } finally {
    job.output.clearStatus();
  }
}

async function sizeOf(path: string): Promise<Moved> {
  const { isDirectory, isFile, size } = await Deno.lstat(path);
  if (!isDirectory) return isFile ? { files: 1, bytes: size } : { files: 0, bytes: 0 };
  let files = 0, bytes = 0;
  for await (const { name } of Deno.readDir(path)) {
    const below = await sizeOf(join(path, name));
    files += below.files;
    bytes += below.bytes;
  }
  return { files, bytes };
}

/** Shows how far it is. What a tar adds counts as if it were of the files. */
function progress(job: Job, deed: string, total: number): TransformStream<Bytes, Bytes> {
  let done = 0;
  return new TransformStream({
    transform(piece, out) {
      done = Math.min(total, done + piece.length);
      job.output.status(`${deed}  ${progressBar(Math.round(done / MIB), Math.ceil(total / MIB))} MiB`);
      out.enqueue(piece);
    },
  });
}
