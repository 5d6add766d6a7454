/**
 * Takes the machine out of a bundle, so that the same source gives the same digest everywhere and no home directory or
 * registry leaves it: paths into the npm cache become `npm/…`, sources of the map `app:///…` and `npm:///…`. Pure.
 */
import { relative, resolve } from "node:path";

export interface BundlePlace {
  /** Folder the bundle was made in: its paths are relative to it. */
  readonly cwd: string;
  /** Deno's npm cache. */
  readonly npmCache: string;
}

/** Maps above this size cost more at load time than they help. */
const MAPPED_BYTES_MAX = 5 * 1024 * 1024;
const MAP_PREFIX = "\n//# sourceMappingURL=data:application/json;base64,";

/** The bundle's text with normal paths and a normal map. */
export function normaliseBundle(text: string, place: BundlePlace): string {
  const at = text.lastIndexOf(MAP_PREFIX);
  if (at === -1) return normalPaths(text, place);
  const code = normalPaths(text.slice(0, at), place);
  if (code.length > MAPPED_BYTES_MAX) return `${code}\n`;
  const map = normaliseMap(decodeBase64(text.slice(at + MAP_PREFIX.length).trim()), place);
  return code + MAP_PREFIX + encodeBase64(map) + "\n";
}

/** Comments and module keys of the form `// ../../home/…/npm/HOST/name/1.0.0/x.js` lose all before the package's name. */
function normalPaths(code: string, { cwd, npmCache }: BundlePlace): string {
  const cache = escapeRegExp(relative(cwd, npmCache));
  return code.replace(new RegExp(`(^// |")${cache}/[^/"\\s]+/`, "gm"), "$1npm/");
}

function normaliseMap(json: string, { cwd, npmCache }: BundlePlace): string {
  const map = JSON.parse(json) as { sources: string[]; sourcesContent?: unknown };
  delete map.sourcesContent;
  map.sources = map.sources.map((source) => {
    const path = resolve(cwd, source);
    if (!path.startsWith(`${npmCache}/`)) return `app:///${relative(cwd, path)}`;
    const [, ...inPackage] = path.slice(npmCache.length + 1).split("/"); // the first part is the registry's host
    return `npm:///${inPackage.join("/")}`;
  });
  return JSON.stringify(map);
}

const escapeRegExp = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

function decodeBase64(base64: string): string {
  return new TextDecoder().decode(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)));
}

function encodeBase64(text: string): string {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
}
