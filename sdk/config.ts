/** Where the platform is and by which key: the environment, else the profile that the last `berth up` on this machine wrote. */
import { PlatformError } from "./errors.ts";

/** A way to a platform. */
export interface Profile {
  readonly url: string;
  readonly key: string;
}

/** A variable of the environment, for code that runs locally. */
export const readVariable = (name: string): string | undefined => Deno.env.get(name);

/** Where `berth up` keeps the profile, readable by its owner alone; undefined when there is no home. */
export function profilePath(): string | undefined {
  const home = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE");
  return home && `${home}/.config/berth/profile.json`;
}

/**
 * `BERTH_URL` and `BERTH_KEY`, each completed from the profile file. Throws when that leaves either unknown. The file's key
 * is for the file's platform alone: another one must not learn it.
 */
export function readProfile(): Profile {
  const url = Deno.env.get("BERTH_URL");
  const key = Deno.env.get("BERTH_KEY");
  const file = url !== undefined && key !== undefined ? {} : readProfileFile();
  const fileKey = url === undefined || url === file.url ? file.key : undefined;
  const profile = { url: url ?? file.url, key: key ?? fileKey };
  if (profile.url !== undefined && profile.key !== undefined) return { url: profile.url, key: profile.key };
  throw new PlatformError(
    "unauthorized",
    "Cannot find a Berth to talk to: start one with `berth up`, or set BERTH_URL and BERTH_KEY",
  );
}

function readProfileFile(): Partial<Profile> {
  const path = profilePath();
  if (path === undefined) return {};
  try {
    return JSON.parse(Deno.readTextFileSync(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    throw new PlatformError("invalid_request", `Cannot read ${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
