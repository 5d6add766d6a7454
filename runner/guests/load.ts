/** Importing the user's module and finding in it what the host said is there. */
import { bind, type Module } from "../../sdk/bind.ts";
import type { ContainerContext } from "../../sdk/context.ts";
import { type Declaration, declarationOf } from "../../sdk/declaration.ts";
import {
  enterClass,
  type Entered,
  type Invoke,
  invokeFunction,
  type Respond,
  respondWith,
} from "../../sdk/invoke.ts";
import type { LoadFrame } from "../frames.ts";

/** Code ready to run, by the names that the host uses. */
export interface Loaded {
  /** Name of the method: `train`, `Digits.classify`. */
  readonly methods: ReadonlyMap<string, Invoke>;
  /** Name of the endpoint. */
  readonly endpoints: ReadonlyMap<string, Respond>;
  exit(): Promise<void>;
}

/** Imports the module. Its top level runs here. */
export async function importEntry({ path, entry, app }: LoadFrame): Promise<Declaration> {
  const url = `file://${path.split("/").map(encodeURIComponent).join("/")}`;
  const module: Module = bind(await import(url), app);
  const declaration = declarationOf(module[entry]);
  if (declaration === undefined) {
    throw new Error(`Cannot load ${entry}: the module exports no function of that name`);
  }
  return declaration;
}

/** Builds what the export declares; of a class, runs `@enter`. */
export async function build(
  frame: LoadFrame,
  declaration: Declaration,
  ctx: ContainerContext,
): Promise<Loaded> {
  const found = await codeOf(declaration, ctx);
  const methods = new Map<string, Invoke>();
  const responders = new Map<string, Respond>();
  for (const [name, { member, kind }] of Object.entries(frame.methods)) {
    const code = kind === "call" ? found.methods.get(member ?? "") : found.endpoints.get(member ?? "");
    if (code === undefined) throw new Error(`Cannot load ${name}: the module declares no such ${kind}`);
    if (kind === "call") methods.set(name, code as Invoke);
    else responders.set(name, code as Respond);
  }
  const endpoints = Object.entries(frame.endpoints).map(([name, method]) =>
    [name, responders.get(method)!] as const
  );
  return { methods, endpoints: new Map(endpoints), exit: found.exit };
}

/** The code of a function lies under the empty name. */
async function codeOf(declaration: Declaration, ctx: ContainerContext): Promise<Entered> {
  const nothing = { methods: new Map(), endpoints: new Map(), exit: () => Promise.resolve() };
  switch (declaration.kind) {
    case "class":
      return await enterClass(declaration, ctx);
    case "function":
      return { ...nothing, methods: new Map([["", invokeFunction(declaration)]]) };
    case "endpoint":
      return { ...nothing, endpoints: new Map([["", respondWith(declaration.handler)]]) };
    case "python":
    case "server":
      throw new Error(`Cannot load ${declaration.kind} code here`);
  }
}
