/** What somebody asks of the files of a volume, as if it were a command: it reads, prints and ends like one. See sdk/protocol/volumes.ts. */
import type { Random } from "../sdk/ports.ts";
import type { VolumeFolder } from "../sdk/protocol.ts";
import type { Owner } from "./engines/oci/folder.ts";
import type { Exec, GuestExit } from "./engine.ts";
import { list, pack, statOf, unpack } from "./volume_files.ts";
import { Folder } from "./volume_folder.ts";
import type { Volumes } from "./volumes.ts";

export interface VolumeExecDeps {
  readonly volumes: Volumes;
  readonly owner: Owner;
  readonly random: Random;
}

type Bytes = Uint8Array<ArrayBuffer>;

/** Where a command reads and prints. */
interface Streams {
  readonly stdin: ReadableStream<Bytes>;
  print(bytes: Bytes): Promise<void>;
  warn(text: string): Promise<void>;
}

export function volumeExec(deps: VolumeExecDeps, volume: VolumeFolder, command: readonly string[]): Exec {
  const [stdin, stdout, stderr] = [pipe(), pipe(), pipe()];
  const out = stdout.writable.getWriter(), err = stderr.writable.getWriter();
  const over = new AbortController();
  const done = run(deps, volume, command, {
    stdin: stdin.readable.pipeThrough(pipe(), { signal: over.signal }),
    print: (bytes) => out.write(bytes),
    warn: (text) => err.write(new TextEncoder().encode(`${text}\n`)),
  });
  const killed = new Promise<never>((_, reject) =>
    over.signal.addEventListener("abort", () => reject(new Error("It was ended")))
  );
  const exited = Promise.race([done, killed]).then(() => 0, (error) => {
    const text = error instanceof Error ? error.message : String(error);
    err.write(new TextEncoder().encode(text)).catch(() => {}); // nobody may read any more
    return 1;
  }).then((code): GuestExit => {
    for (const writer of [out, err]) writer.close().catch(() => {});
    over.abort();
    return { code, signal: null };
  });
  return {
    stdin: stdin.writable as WritableStream<Uint8Array>,
    stdout: stdout.readable,
    stderr: stderr.readable,
    exited,
    resize: () => {},
    kill: () => over.abort(),
  };
}

const pipe = (): TransformStream<Bytes, Bytes> => new TransformStream();

async function run(
  { volumes, owner, random }: VolumeExecDeps,
  volume: VolumeFolder,
  [verb, path = ""]: readonly string[],
  { stdin, print, warn }: Streams,
): Promise<void> {
  await using root = await Folder.open(await volumes.folder(volume));
  const printJson = (value: unknown) => print(new TextEncoder().encode(`${JSON.stringify(value)}\n`));
  switch (verb) {
    case "stat":
      return await printJson(await statOf(root, path));
    case "ls":
      for await (const file of list(root, path)) await printJson(file);
      return;
    case "get": {
      const leftOut: string[] = [];
      for await (const bytes of pack(root, path, (name) => leftOut.push(name))) await print(bytes);
      for (const name of leftOut) await warn(name);
      return;
    }
    case "put":
      return await unpack(root, path, stdin, { owner, random }).finally(() => volumes.used([volume]));
    default:
      throw new Error(`Cannot do "${verb}" with a volume: there are stat, ls, get and put`);
  }
}
