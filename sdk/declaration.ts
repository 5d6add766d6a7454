/**
 * The one record behind everything that `App` declares: describe, guests and handles read it. It hangs on a symbol that all
 * copies of this SDK share, so that a module which brought its own copy is understood. Pure.
 */
import type { Context } from "./context.ts";
import type { ContainerOptions } from "./options.ts";
import type { Schedule } from "./cron.ts";
import type { ServerSpec } from "./protocol/server.ts";
import type { Schema } from "./schema.ts";
import type { z } from "zod";

export const DECLARATION = Symbol.for("berth.declaration");

/** An app as its declarations know it. */
export interface DeclaredApp {
  /** As the module says, until a container knows under which name it was deployed. */
  name: string;
  /** npm packages that are not bundled. */
  readonly external: readonly string[];
  /** All that was declared on it, exported or not. */
  readonly declared: Declaration[];
}

interface Declared {
  readonly app: DeclaredApp;
  readonly options: ContainerOptions;
  /** Its export's name, once somebody who has seen the exports has said it. */
  exportName?: string;
}

/** Code that takes an input and a context. What it really takes is in the handle's type. */
export type Callable = (input: never, ctx: Context) => unknown;
/** Code that answers HTTP requests. */
export type Responder = (request: Request, ctx: never) => Response | Promise<Response>;

export interface FunctionDeclaration extends Declared {
  readonly kind: "function";
  readonly handler: Callable;
  readonly input: Schema | undefined;
  readonly schedules: readonly Schedule[];
}
export interface EndpointDeclaration extends Declared {
  readonly kind: "endpoint";
  readonly handler: Responder;
  readonly auth: "key" | "public" | undefined;
}
export interface PythonDeclaration extends Declared {
  readonly kind: "python";
  /** `file.py:function` */
  readonly entry: string;
  readonly files: readonly string[];
  readonly requirements: readonly string[];
  readonly preload: readonly string[];
  readonly schedules: readonly Schedule[];
  readonly stream: boolean;
}
export interface ClassDeclaration extends Declared {
  readonly kind: "class";
  readonly class: new () => object;
  readonly marks: readonly Mark[];
}
export interface ServerDeclaration extends Declared {
  readonly kind: "server";
  readonly server: z.input<typeof ServerSpec>;
  readonly files: readonly string[];
  readonly auth: "key" | "public" | undefined;
}
export type Declaration =
  | FunctionDeclaration
  | EndpointDeclaration
  | PythonDeclaration
  | ServerDeclaration
  | ClassDeclaration;

/** What a decorator said of one member of a class. A member may have several. */
export type Mark =
  | {
    readonly kind: "method";
    readonly member: string;
    readonly input: Schema | undefined;
    readonly stream: boolean;
  }
  | {
    readonly kind: "endpoint";
    readonly member: string;
    readonly name: string | undefined;
    readonly auth: "key" | "public" | undefined;
  }
  | { readonly kind: "cron"; readonly member: string; readonly schedule: Schedule }
  | { readonly kind: "enter" | "exit"; readonly member: string };

/** What a value declares itself, or undefined. A subclass does not count as its parent. */
export function declarationOf(value: unknown): Declaration | undefined {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return undefined;
  return Object.hasOwn(value, DECLARATION)
    ? (value as { [DECLARATION]: Declaration })[DECLARATION]
    : undefined;
}

/** Its name in URLs, or undefined while nobody knows: that of the export, unless an option or a class says better. */
export function declaredName(declaration: Declaration): string | undefined {
  const own = declaration.kind === "class" ? declaration.class.name : undefined;
  return declaration.options.name ?? declaration.exportName ?? (own === "" ? undefined : own);
}

/** Names of what is called with inputs, in a class: members marked by `@method` or `@cron`. */
export function callableMembers({ marks }: ClassDeclaration): string[] {
  return [
    ...new Set(marks.filter(({ kind }) => kind === "method" || kind === "cron").map(({ member }) => member)),
  ];
}

/** True for `function*` and `async function*`: each yield is an event. */
export function isGenerator(code: unknown): boolean {
  return /^\[object (Async)?GeneratorFunction\]$/.test(Object.prototype.toString.call(code));
}
