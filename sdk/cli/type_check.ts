/** Type-checks the user's file beside the bundling, which looks at no types. */
import { basename, dirname, join } from "node:path";
import { readComplaints } from "./bundle_errors.ts";
import type { RunDeno } from "./deno_process.ts";
import { formatPlace, SourceError } from "./failure.ts";
import { importMapFor } from "./import_map.ts";

const SHOWN_MAX = 10;

/** Throws a {@link SourceError} that lists the type errors in the user's files, if there are any. `scratch` is a folder of ours. */
export async function typeCheck(run: RunDeno, path: string, scratch: string): Promise<void> {
  const cwd = dirname(path);
  const map = join(scratch, "import_map.json");
  await Deno.writeTextFile(map, JSON.stringify(await importMapFor(cwd)));
  const { code, stderr } = await run({
    args: ["check", "--quiet", "--no-lock", `--import-map=${map}`, path],
    cwd,
  });
  if (code === 0) return;
  const complaints = readComplaints(stderr, cwd, () => null).filter(({ place }) => !isOurs(place?.file));
  const [first] = complaints;
  if (first === undefined) return;
  const listed = complaints.slice(0, SHOWN_MAX).map(({ message, place, frame }) =>
    [message, ...(place ? [`  at ${formatPlace(place)}`] : []), ...(frame ? [frame] : [])].join("\n")
  );
  const count = complaints.length === 1 ? "a type error" : `${complaints.length} type errors`;
  throw new SourceError(`Cannot deploy ${basename(path)}: it has ${count}`, {
    ...(first.place === undefined ? {} : { place: first.place }),
    details: listed.join("\n\n"),
    hint: "Skip the check with --no-check.",
  });
}

/** The user's compiler options may be stricter than those our SDK was written under. */
function isOurs(file: string | undefined): boolean {
  return file !== undefined && file.startsWith(dirname(dirname(new URL(import.meta.url).pathname)));
}
