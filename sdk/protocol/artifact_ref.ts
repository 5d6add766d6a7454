/** How artifacts are referred to: `model`, `model@3`, `model@production`. Without zod, so that light clients can load it. */

/** The largest number that a version can have. */
export const VERSION_MAX = 2 ** 31 - 1;
/** Stands for the newest version. No alias can be called so. */
export const NEWEST = "latest";

/** What a reference means: of this name the version `at`, or the one that the alias `at` points at, or the newest. */
export interface ArtifactAt {
  readonly name: string;
  readonly at: number | string | null;
}

/** A name, and a number or an alias: both are made like names, so that no alias reads like a number. */
const REF = /^([A-Za-z_][A-Za-z0-9_-]{0,62})(?:@(?:([1-9][0-9]{0,9})|([A-Za-z_][A-Za-z0-9_-]{0,62})))?$/;

/** Reads `model@production`; null when it is no reference. */
export function parseArtifactRef(text: string): ArtifactAt | null {
  const [, name, version, alias] = REF.exec(text) ?? [];
  if (name === undefined || Number(version) > VERSION_MAX) return null;
  if (version !== undefined) return { name, at: Number(version) };
  return { name, at: alias === undefined || alias === NEWEST ? null : alias };
}
