/**
 * Scratch space of plain processes whose function asks for `disk`: a folder of the slot, which is where temporary files go, measured
 * with the working folder. What they write elsewhere on the machine is nobody's.
 */
import type { FunctionSpec } from "../../sdk/protocol.ts";
import type { Guest, Spawn } from "../engine.ts";
import { usedMiB } from "../scratch.ts";
import type { DenoLimits, SlotPaths } from "./deno_args.ts";

type Asking = Pick<FunctionSpec, "disk">;

export const appFolder = (slot: SlotPaths): string => `${slot.dir}/app`;
const scratchFolder = (slot: SlotPaths): string => `${slot.dir}/tmp`;

export async function layScratch({ disk }: Asking, slot: SlotPaths): Promise<void> {
  if (disk > 0) await Deno.mkdir(scratchFolder(slot), { mode: 0o700 });
}

/** Where tools and languages look for a place of temporary files. */
export const scratchEnv = ({ disk }: Asking, slot: SlotPaths): Readonly<Record<string, string>> =>
  disk > 0 ? { TMPDIR: scratchFolder(slot) } : {};

/** What a Deno guest may do there, whatever it declares. */
export function withScratch(limits: DenoLimits, { disk }: Asking, slot: SlotPaths): DenoLimits {
  if (disk === 0) return limits;
  const folder = scratchFolder(slot);
  return {
    ...limits,
    env: [...limits.env, "TMPDIR"],
    read: [...limits.read ?? [], folder],
    write: [...limits.write ?? [], folder],
  };
}

export const scratchOf = ({ disk }: Asking, slot: SlotPaths, spawn: Spawn): Pick<Guest, "scratch"> =>
  disk === 0
    ? {}
    : { scratch: { limitMiB: disk, usedMiB: () => usedMiB(spawn, scratchFolder(slot), appFolder(slot)) } };
