/**
 * Containers that an earlier runner of this folder left running. Which of its slots is whose is written down in the slot; that its
 * container runs, the engine says.
 */
import { z } from "zod";
import { read } from "../../../sdk/proc.ts";
import type { Slots } from "../../slots.ts";
import type { SlotPaths } from "../deno_args.ts";
import type { OciClient } from "./client.ts";

export interface LeftContainer {
  /** Of the platform. */
  readonly id: string;
  /** As its engine names it. */
  readonly engineId: string;
  readonly slot: SlotPaths;
}

const Record = z.object({ id: z.string(), engineId: z.string() });
const fileOf = (dir: string): string => `${dir}/container.json`;

/** Writes down whose a slot is, for the next runner. */
export function noteContainer(dir: string, { id, engineId }: Omit<LeftContainer, "slot">): void {
  Deno.writeTextFileSync(fileOf(dir), JSON.stringify({ id, engineId }), { mode: 0o600 });
}

/** @param engineIds containers of this runner's folder that the engine has */
export async function findLeft(
  { client, slots }: { readonly client: OciClient; readonly slots: Slots },
  engineIds: readonly string[],
): Promise<LeftContainer[]> {
  const left: LeftContainer[] = [];
  for (const slot of await slots.earlier()) {
    const noted = noteOf(slot.dir);
    if (noted === null || !engineIds.includes(noted.engineId)) continue;
    if (((await client.inspect(noted.engineId))?.State.Pid ?? 0) > 0) left.push({ ...noted, slot });
  }
  return left;
}

function noteOf(dir: string): z.infer<typeof Record> | null {
  const text = read(fileOf(dir));
  try {
    return text === null ? null : Record.parse(JSON.parse(text));
  } catch {
    return null; // it was killed while it wrote
  }
}
