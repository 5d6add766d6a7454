/** A module's exports and the names they give to what is declared. Pure. */
import { type Declaration, declarationOf } from "./declaration.ts";

/** What `import * as module` gives. */
export type Module = Readonly<Record<string, unknown>>;

/**
 * What a module declares, by the name of the export. One thing under two names keeps the better one: `default` gives way, a
 * class keeps its own name.
 */
export function declarations(module: Module): Map<string, Declaration> {
  const names = new Map<Declaration, string>();
  for (const name of Object.keys(module).sort()) {
    const declaration = declarationOf(module[name]);
    if (declaration === undefined) continue;
    const other = names.get(declaration);
    names.set(declaration, other === undefined ? name : betterName(declaration, other, name));
  }
  return new Map([...names].map(([declaration, name]) => [name, declaration]));
}

function betterName(declaration: Declaration, ...names: [string, string]): string {
  const rest = names.filter((name) => name !== "default");
  if (rest.length === 1) return rest[0]!;
  const own = declaration.kind === "class" ? declaration.class.name : undefined;
  const match = names.find((name) => name === own);
  if (match !== undefined) return match;
  throw new TypeError(
    `Cannot name a function: it is exported twice, as "${names[0]}" and "${names[1]}"; keep one`,
  );
}

/**
 * Tells the functions of a module the names of their exports, and gives the module back. A program that calls deployed
 * functions by importing their module needs this once; inside a deployed function it has been done. `app` is the name that
 * the module is deployed under, when it is another than it says.
 *
 * @example
 * ```ts
 * import { App, bind } from "berth";
 *
 * const app = new App("numbers");
 * const module = { double: app.function({}, (n: number) => 2 * n) }; // import * as module from "./numbers.ts"
 * export const { double } = bind(module);
 * ```
 */
export function bind<M extends object>(module: M, app?: string): M {
  for (const [name, declaration] of declarations(module as Module)) {
    if (app !== undefined) declaration.app.name = app;
    if (name !== "default") declaration.exportName = name;
  }
  return module;
}
