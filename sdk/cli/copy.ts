/** Files across the border of a container: one as its bytes, a folder as a tar. Both sides need `tar` for folders, the container `sh`. */
import { basename, join, resolve } from "node:path";
import type { Job } from "./cli.ts";
import { CliError, EXIT } from "./failure.ts";
import { type ExecExit, runInside } from "./inside.ts";

export interface Copy {
  readonly container: string;
  readonly from: string;
  readonly to: string;
}

/** Copies out of a container; how many bytes came. */
export async function copyOut(job: Job, { container, from, to }: Copy): Promise<number> {
  const target = resolve(job.shell.cwd, to);
  const inside = await isFolder(target) ? join(target, basename(from)) : target;
  const { code } = await runInside(job, container, { command: ["test", "-d", from] }, SILENT);
  return code === 0
    ? await folderOut(job, container, from, inside)
    : await fileOut(job, container, from, inside);
}

/** Copies into a container; how many bytes went. */
export async function copyIn(job: Job, { container, from, to }: Copy): Promise<number> {
  const source = resolve(job.shell.cwd, from);
  const stat = await Deno.stat(source).catch(() => null);
  if (stat === null) throw new CliError(EXIT.usage, `Cannot copy "${from}": there is no such file`);
  const name = basename(source);
  if (!stat.isDirectory) {
    const { readable } = await Deno.open(source);
    return await into(job, container, readable, [...INTO_FILE, to, name]);
  }
  const tar = new Deno.Command("tar", { args: ["-C", source, "-cf", "-", "."], stdout: "piped" }).spawn();
  const bytes = await into(job, container, tar.stdout, [...INTO_FOLDER, to, name]);
  checked(await tar.status, "tar failed here");
  return bytes;
}

/** `$1` is where to, `$2` its name: below `$1` where that is a folder. */
const INTO_FILE = ["sh", "-c", 'if [ -d "$1" ]; then set -- "$1/$2"; fi; cat > "$1"', "sh"];
const INTO_FOLDER = [
  "sh",
  "-c",
  'if [ -d "$1" ]; then set -- "$1/$2"; fi; mkdir -p "$1" && tar -C "$1" -xf -',
  "sh",
];

const SILENT = { stdin: null, print: () => {} };

async function fileOut(job: Job, container: string, from: string, to: string): Promise<number> {
  const beside = `${to}.part`;
  const file = await Deno.open(beside, { write: true, create: true, truncate: true });
  try {
    const bytes = await outOf(job, container, ["cat", from], file.writable);
    await Deno.rename(beside, to);
    return bytes;
  } catch (error) {
    await Deno.remove(beside).catch(() => {});
    throw error;
  }
}

async function folderOut(job: Job, container: string, from: string, to: string): Promise<number> {
  await Deno.mkdir(to, { recursive: true });
  const tar = new Deno.Command("tar", { args: ["-C", to, "-xf", "-"], stdin: "piped" }).spawn();
  const bytes = await outOf(job, container, ["tar", "-C", from, "-cf", "-", "."], tar.stdin);
  checked(await tar.status, "tar failed here");
  return bytes;
}

async function outOf(
  job: Job,
  container: string,
  command: string[],
  target: WritableStream<Uint8Array>,
): Promise<number> {
  const said: string[] = [];
  let copied = 0;
  const writer = target.getWriter();
  const exit = await runInside(job, container, { command }, {
    stdin: null,
    print: async (stream, bytes) => {
      if (stream === "stderr") return void said.push(new TextDecoder().decode(bytes));
      copied += bytes.length;
      await writer.write(bytes);
    },
  }).finally(() => writer.close());
  checked(exit, said.join(""));
  return copied;
}

async function into(
  job: Job,
  container: string,
  source: ReadableStream<Uint8Array>,
  command: string[],
): Promise<number> {
  const said: string[] = [];
  let copied = 0;
  const counted = source.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, out) => {
        copied += chunk.length;
        out.enqueue(chunk);
      },
    }),
  );
  const exit = await runInside(job, container, { command }, {
    stdin: counted,
    print: (_, bytes) => void said.push(new TextDecoder().decode(bytes)),
  });
  checked(exit, said.join(""));
  return copied;
}

function checked({ code }: Pick<ExecExit, "code">, said: string): void {
  if (code === 0) return;
  throw new CliError(EXIT.platform, `Cannot copy: ${said.trim() || `the command ended with code ${code}`}`);
}

const isFolder = (path: string): Promise<boolean> =>
  Deno.stat(path).then(({ isDirectory }) => isDirectory, () => false);
