/** The admin key of a folder, kept from its first start on, and the profile by which CLI and SDK find the platform. */
import { dirname, join } from "node:path";
import { profilePath } from "../../sdk/config.ts";
import type { Random } from "../../sdk/ports.ts";
import { secret } from "../auth.ts";

/** The key in `root`, made when there is none. Restarts on the same folder keep it. */
export async function adminKeyOf(root: string, random: Random): Promise<string> {
  const path = join(root, "key");
  const known = (await Deno.readTextFile(path).catch(ifMissing)).trim();
  if (known !== "") return known;
  const key = secret("berth", random);
  await writePrivately(path, `${key}\n`);
  return key;
}

/** Tells CLI and SDK on this machine where the platform is. Does nothing for a user without a home. */
export async function writeProfile(profile: { url: string; key: string }): Promise<void> {
  const path = profilePath();
  if (path === undefined) return;
  await Deno.mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writePrivately(path, `${JSON.stringify(profile, null, 2)}\n`);
}

/** Whole or not at all, and at no moment readable by others. */
async function writePrivately(path: string, text: string): Promise<void> {
  const temporary = `${path}.${Deno.pid}`;
  await Deno.writeTextFile(temporary, text, { mode: 0o600 });
  await Deno.rename(temporary, path);
}

function ifMissing(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "";
  throw error;
}
