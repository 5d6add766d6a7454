/** Modules of other rooms, which an SDK that was installed alone comes without: loaded only when they are asked for, where they lie beside it. */
import { CliError, EXIT } from "./failure.ts";

/** @param path from the top, such as `api/up.ts` */
export async function loadRoom<Module>(path: string): Promise<Module> {
  const url = new URL(`../../${path}`, import.meta.url);
  try {
    await Deno.lstat(url);
  } catch {
    throw new CliError(EXIT.usage, `Cannot run ${path}: this is the client alone`, {
      hint:
        "Get Berth whole to run a platform or a node, or point BERTH_URL and BERTH_KEY at a platform that runs.",
    });
  }
  return await import(url.href);
}
