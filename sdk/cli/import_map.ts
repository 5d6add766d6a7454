/** The import map that lets a user's file say `import … from "berth"` while it is type-checked. */
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { parse as parseJsonc } from "jsonc-parser";

type Names = Record<string, string>;
export interface ImportMap {
  readonly imports: Names;
  readonly scopes: Record<string, Names>;
}
interface Config extends Partial<ImportMap> {
  readonly importMap?: string;
  readonly workspace?: unknown;
}

const ROOT = new URL("../../", import.meta.url);

/** The user's own names, made absolute, and `berth`; what the SDK imports is known inside the SDK only. */
export async function importMapFor(dir: string): Promise<ImportMap> {
  const own = merge((await configsAbove(dir)).map(({ config, base }) => absolute(config, base)));
  const sdk = absolute(await readConfig(new URL("deno.json", ROOT)) ?? {}, ROOT);
  return {
    imports: { ...own.imports, berth: new URL("sdk/mod.ts", ROOT).href },
    scopes: { ...own.scopes, [new URL("sdk/", ROOT).href]: sdk.imports },
  };
}

/** The configurations that hold for `dir`, farthest first: the nearest, and those of workspaces above it. */
async function configsAbove(dir: string): Promise<{ config: Config; base: URL }[]> {
  const found: { config: Config; base: URL }[] = [];
  for (let at = dir;; at = dirname(at)) {
    for (const name of ["deno.json", "deno.jsonc"]) {
      const url = pathToFileURL(join(at, name));
      const config = await readConfig(url);
      if (config !== null && (found.length === 0 || config.workspace !== undefined)) {
        found.unshift(await follow(config, url));
      }
    }
    if (dirname(at) === at) return found;
  }
}

/** A configuration may keep its imports in a file of their own. */
async function follow(config: Config, url: URL): Promise<{ config: Config; base: URL }> {
  if (config.importMap === undefined) return { config, base: url };
  const elsewhere = new URL(config.importMap, url);
  return { config: await readConfig(elsewhere) ?? {}, base: elsewhere };
}

async function readConfig(url: URL): Promise<Config | null> {
  const text = await Deno.readTextFile(url).catch(() => null);
  return text === null ? null : parseJsonc(text) as Config;
}

function absolute({ imports = {}, scopes = {} }: Config, base: URL): ImportMap {
  const place = (name: string) => /^\.{0,2}\//.test(name) ? new URL(name, base).href : name;
  const placeAll = (names: Names) =>
    Object.fromEntries(Object.entries(names).map(([name, to]) => [place(name), place(to)]));
  return {
    imports: placeAll(imports),
    scopes: Object.fromEntries(
      Object.entries(scopes).map(([scope, names]) => [place(scope), placeAll(names)]),
    ),
  };
}

function merge(maps: readonly ImportMap[]): ImportMap {
  return {
    imports: Object.assign({}, ...maps.map(({ imports }) => imports)),
    scopes: Object.assign({}, ...maps.map(({ scopes }) => scopes)),
  };
}
