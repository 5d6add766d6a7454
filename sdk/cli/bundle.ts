/** Bundles one module and all it imports into one text, `app.js`, in which only `berth` and the externals stay imports. */
import { readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { readComplaints } from "./bundle_errors.ts";
import type { RunDeno } from "./deno_process.ts";
import {
  type Externals,
  type ModuleGraph,
  NO_EXTERNALS,
  pinExternals,
  resolveExternals,
} from "./externals.ts";
import { SourceError } from "./failure.ts";
import { normaliseBundle } from "./normalise.ts";

/**
 * The text of the bundle. It depends on the source alone, not on where it lies or who bundles it.
 *
 * The child's folder is the module's own, because Deno looks for its configuration from there.
 */
export async function bundleModule(
  run: RunDeno,
  path: string,
  externals: Externals = NO_EXTERNALS,
): Promise<string> {
  const cwd = dirname(path);
  const outside = ["berth", "berth/*", ...Object.keys(externals.exact)].map((name) => `--external=${name}`);
  const [bundled, npmCache] = await Promise.all([
    run({ args: ["bundle", "--quiet", "--no-lock", "--sourcemap=inline", ...outside, path], cwd }),
    npmCacheOf(run, cwd),
  ]);
  if (bundled.code !== 0) throw bundleError(bundled.stderr, path);
  return pinExternals(normaliseBundle(bundled.stdout, { cwd, npmCache }), externals);
}

/** Finds the exact versions of the `wanted` packages in what the module imports, and brings them into the cache. */
export async function findExternals(
  run: RunDeno,
  path: string,
  wanted: readonly string[],
): Promise<Externals> {
  if (wanted.length === 0) return NO_EXTERNALS;
  const cwd = dirname(path);
  const { code, stdout, stderr } = await run({ args: ["info", "--json", "--no-lock", path], cwd });
  if (code !== 0) throw bundleError(stderr, path);
  const externals = resolveExternals(JSON.parse(stdout) as ModuleGraph, wanted);
  if (externals.packages.length > 0) {
    const cached = await run({ args: ["cache", "--quiet", "--no-lock", ...externals.packages], cwd });
    if (cached.code !== 0) throw bundleError(cached.stderr, path);
  }
  return externals;
}

async function npmCacheOf(run: RunDeno, cwd: string): Promise<string> {
  const { stdout } = await run({ args: ["info", "--json"], cwd });
  return (JSON.parse(stdout) as { npmCache: string }).npmCache;
}

function bundleError(stderr: string, path: string): SourceError {
  const [first, ...others] = readComplaints(stderr, dirname(path), readSource);
  if (first === undefined) {
    return new SourceError(`Cannot bundle ${basename(path)}: ${stderr.trim() || "deno bundle failed"}`);
  }
  const hint = advice(first.message);
  return new SourceError(`Cannot bundle ${basename(path)}: ${first.message}`, {
    ...(first.place === undefined ? {} : { place: first.place }),
    ...(first.frame === undefined ? {} : { details: first.frame }),
    ...(hint !== undefined
      ? { hint }
      : others.length === 0
      ? {}
      : { hint: `${others.length} more like this.` }),
  });
}

function advice(message: string): string | undefined {
  const bare = /^Import "([^"]+)" not a dependency/.exec(message)?.[1];
  if (bare !== undefined) return `Write "npm:${bare}", or map the name in a deno.json beside the file.`;
  if (message.includes("No loader is configured")) {
    return 'It has native code: leave it out of the bundle with new App(NAME, { external: ["npm:PACKAGE"] }).';
  }
  return undefined;
}

function readSource(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
