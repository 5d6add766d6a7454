/** Which node this data folder belongs to: its id and credential, kept from the first join on, readable by nobody else. */
import { z } from "zod";
import { JoinedNode } from "../sdk/protocol.ts";

const Identity = JoinedNode.pick({ id: true, credential: true }).extend({
  api: z.string(),
  /** Of the runner that wrote it. */
  session: z.string().optional(),
});
export type Identity = z.infer<typeof Identity>;

/** The node that was joined from this folder at that api; null when there is none. */
export async function loadIdentity(file: string, api: string): Promise<Identity | null> {
  try {
    const known = Identity.parse(JSON.parse(await Deno.readTextFile(file)));
    return known.api === api ? known : null;
  } catch {
    // Missing or damaged: join anew.
    return null;
  }
}

export async function saveIdentity(file: string, identity: Identity): Promise<void> {
  const temporary = `${file}.new`;
  await Deno.writeTextFile(temporary, JSON.stringify(identity), { mode: 0o600 });
  await Deno.rename(temporary, file);
}
