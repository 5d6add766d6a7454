/** Handles of decorated classes. A decorator cannot change a class's type, so the handle is beside it. */
import { containerContext } from "./context.ts";
import {
  callableMembers,
  type ClassDeclaration,
  declarationOf,
  declaredName,
  type PythonDeclaration,
} from "./declaration.ts";
import { FunctionHandle, type HandleOptions } from "./handle.ts";
import { enterClass, type Entered } from "./invoke.ts";
import { localContext, localOutlet, localSecrets, localVolumes } from "./local.ts";

/** A handle for each method of a class. */
export type ClassHandle<T> = {
  readonly [K in keyof T as T[K] extends (...args: never) => unknown ? K : never]: T[K] extends
    (input: infer I, ...rest: never) => infer R ? FunctionHandle<I, R> : never;
};

/**
 * The methods of a decorated class, to be called from elsewhere.
 *
 * @example
 * ```ts
 * import { App, handle, method } from "berth";
 * import assert from "node:assert/strict";
 *
 * const app = new App("words");
 *
 * @app.cls()
 * class Words {
 *   @method()
 *   count(text: string) {
 *     return text.split(/\s+/).length;
 *   }
 * }
 *
 * assert.equal(await handle(Words).count.local("one two"), 2); // .remote("one two") once it is deployed
 * ```
 */
export function handle<T extends object>(Class: new () => T, options?: HandleOptions): ClassHandle<T>;
/**
 * The methods of a class written in Python, with types as you say them.
 *
 * @example
 * ```ts
 * import { App, handle } from "berth";
 *
 * export const Model = new App("digits").python("model.py:Model");
 *
 * export async function use() {
 *   return await handle<{ predict(input: number[]): number }>(Model).predict.remote([1, 2]);
 * }
 * ```
 */
export function handle<T extends object>(
  Python: FunctionHandle<unknown, unknown>,
  options?: HandleOptions,
): ClassHandle<T>;
export function handle<T extends object>(
  Class: (new () => T) | FunctionHandle<unknown, unknown>,
  options: HandleOptions = {},
): ClassHandle<T> {
  const declaration = declarationOf(Class);
  if (declaration?.kind === "python") return pythonHandle(declaration, options);
  const { name = "this" } = Class as { name?: string };
  if (declaration?.kind !== "class") {
    throw new TypeError(`Cannot make a handle: ${name} has no @app.cls decorator`);
  }
  const members = new Map(
    callableMembers(declaration).map((member) => [member, memberHandle(declaration, member, options)]),
  );
  return new Proxy({}, {
    get(_, member) {
      if (typeof member === "symbol" || member === "then") return undefined;
      const found = members.get(member);
      if (found === undefined) {
        throw new TypeError(`Cannot call ${name}.${member}: it has no @method decorator`);
      }
      return found;
    },
  }) as ClassHandle<T>;
}

/** Which methods there are, only the file tells: a name that is none of them is refused by the platform. */
function pythonHandle<T>(declaration: PythonDeclaration, options: HandleOptions): ClassHandle<T> {
  const { app, entry } = declaration;
  const run = () => {
    throw new TypeError(`Cannot run ${entry} locally: it is Python`);
  };
  return new Proxy({}, {
    get(_, member) {
      if (typeof member === "symbol" || member === "then") return undefined;
      const name = () => `${declaredName(declaration) ?? ""}.${member}`;
      return new FunctionHandle({ app: app.name, name, run }, options);
    },
  }) as ClassHandle<T>;
}

function memberHandle(
  declaration: ClassDeclaration,
  member: string,
  options: HandleOptions,
): FunctionHandle<unknown, unknown> {
  const { app } = declaration;
  const className = () => declaredName(declaration)!;
  return new FunctionHandle({
    get app() {
      return app.name;
    },
    name: () => `${className()}.${member}`,
    run: async (input, ctx) => {
      const { methods } = await localInstance(declaration, className());
      return await methods.get(member)!(input, ctx ?? localContext({ app: app.name, function: className() }));
    },
  }, options);
}

const instances = new WeakMap<ClassDeclaration, Promise<Entered>>();

/** One for the process, entered once, as in a container. */
function localInstance(declaration: ClassDeclaration, name: string): Promise<Entered> {
  const existing = instances.get(declaration);
  if (existing !== undefined) return existing;
  const identity = {
    app: declaration.app.name,
    function: name,
    container: "local",
    secrets: localSecrets,
    volumes: localVolumes,
  };
  const ctx = containerContext(identity, {
    outlet: localOutlet,
    signal: new AbortController().signal,
    write: (line) => console.log(line),
  });
  const entered = enterClass(declaration, ctx);
  instances.set(declaration, entered);
  return entered;
}
