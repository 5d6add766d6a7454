/** `Volume`: names a folder that outlives containers, for the functions that mount it. Pure. */
import type { z } from "zod";
import type { Mounts, VolumeRef } from "./protocol/volumes.ts";

/** Choices of {@link Volume.fromName}. */
export interface VolumeOptions {
  /**
   * Whether the deployment makes the volume where there is none of this name.
   * @default false
   */
  readonly create?: boolean;
  /**
   * Whether it may only be read there.
   * @default false
   */
  readonly readOnly?: boolean;
}

/**
 * A folder with a name. What functions write to it stays, and is there for all functions of the workspace that mount it:
 * `ctx.volume("/data")` is its path.
 *
 * @example
 * ```ts
 * import { App, Volume } from "berth";
 *
 * const app = new App("digits");
 * const data = Volume.fromName("digits", { create: true });
 * export const note = app.function({ volumes: { "/data": data } }, async (text: string, ctx) => {
 *   await Deno.writeTextFile(`${ctx.volume("/data")}/note.txt`, text);
 * });
 * ```
 */
export class Volume {
  /** As it is deployed. */
  readonly ref: z.input<typeof VolumeRef>;

  private constructor(ref: z.input<typeof VolumeRef>) {
    this.ref = ref;
  }

  /** The volume of this name in the workspace that the function is deployed to. */
  static fromName(name: string, { create, readOnly }: VolumeOptions = {}): Volume {
    if (typeof name !== "string" || name === "") {
      throw new TypeError('Cannot name a volume: expected a text such as Volume.fromName("weights")');
    }
    return new Volume({
      name,
      ...(create === undefined ? {} : { create }),
      ...(readOnly === undefined ? {} : { readOnly }),
    });
  }
}

/** Mounts as the wire has them. */
export function mountsOf(volumes: Readonly<Record<string, Volume>>): z.input<typeof Mounts> {
  return Object.fromEntries(
    Object.entries(volumes).map(([path, volume]) => {
      if (volume instanceof Object && "ref" in volume) return [path, volume.ref];
      throw new TypeError(`Cannot mount at "${path}": expected a volume, such as Volume.fromName("weights")`);
    }),
  );
}

/** Where the volumes of a container are, by where its function mounts them. */
export type VolumePlaces = Pick<ReadonlyMap<string, string>, "get" | "keys">;

export const NO_VOLUMES: VolumePlaces = new Map();

/** Where a volume is. @throws TypeError that names the mounts there are */
export function volumePlace(places: VolumePlaces, path: string): string {
  const place = places.get(path);
  if (place !== undefined) return place;
  const paths = [...places.keys()];
  const there = paths.length === 0
    ? "this function mounts none"
    : `this function mounts volumes at ${paths.join(", ")}`;
  throw new TypeError(`Cannot find a volume at "${path}": ${there}`);
}
