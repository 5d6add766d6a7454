/** A module's exports as a manifest: what is deployed. Pure, and without zod: the deploy path checks the manifest. */
import type { z } from "zod";
import type { FunctionSpec, Manifest, MethodSpec, ScheduleSpec } from "./protocol/apps.ts";
import { declarations, type Module } from "./bind.ts";
import type { Schedule } from "./cron.ts";
import {
  callableMembers,
  type ClassDeclaration,
  type Declaration,
  declaredName,
  type EndpointDeclaration,
  type FunctionDeclaration,
  isGenerator,
  type Mark,
  type PythonDeclaration,
  type ServerDeclaration,
} from "./declaration.ts";
import { builtChain, type LocalChain } from "./image.ts";
import { containerSpec, given } from "./options.ts";
import { jsonSchemaOf } from "./schema.ts";
import { VERSION } from "./version.ts";

type Spec = z.input<typeof FunctionSpec>;
type Method = z.input<typeof MethodSpec>;

/** What was found in a module. */
export interface Description {
  readonly app: string;
  /** Defaults are not filled in; parse it with the `Manifest` schema. */
  readonly manifest: z.input<typeof Manifest>;
  /** Files that the bundle must hold beside the module, as written: `train.py`. */
  readonly files: string[];
  /** Images that must be built, by the functions that run in them. */
  readonly images: Readonly<Record<string, LocalChain>>;
  /** What deploys, but not as its author may think. */
  readonly warnings: string[];
}

/**
 * Describes what a module declares. Throws a TypeError that says what to change when it cannot be deployed.
 *
 * @example
 * ```ts
 * import { App } from "berth";
 * import { describeModule } from "./describe.ts";
 * import assert from "node:assert/strict";
 *
 * const app = new App("numbers");
 * const { manifest } = describeModule({ double: app.function({ cpu: 2 }, (n: number) => 2 * n) });
 * assert.equal(manifest.functions[0]?.name, "double");
 * ```
 */
export function describeModule(module: Module): Description {
  const found = [...declarations(module)];
  const app = onlyApp(found.map(([, declaration]) => declaration));
  const functions = found.map(([entry, declaration]) => specOf(entry, declaration));
  const names = functions.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new TypeError(`Cannot deploy app "${app.name}": two functions are named "${twice}"`);
  }
  return {
    app: app.name,
    manifest: { sdkVersion: VERSION, functions, external: [...app.external] },
    files: [...new Set(found.flatMap(([, declaration]) => filesOf(declaration)))].sort(),
    images: imagesOf(found),
    warnings: unexported(app.declared, found.map(([, declaration]) => declaration)),
  };
}

function onlyApp(found: Declaration[]): Declaration["app"] {
  const [first] = found;
  if (first === undefined) {
    throw new TypeError(
      "Cannot deploy this module: it exports no functions; write `export const NAME = app.function(…)`",
    );
  }
  const other = found.find(({ app }) => app.name !== first.app.name);
  if (other === undefined) return first.app;
  throw new TypeError(
    `Cannot deploy this module: it exports functions of two apps, "${first.app.name}" and "${other.app.name}"; ` +
      "give each app a module of its own",
  );
}

function imagesOf(found: readonly (readonly [entry: string, Declaration])[]): Description["images"] {
  return Object.fromEntries(found.flatMap(([entry, declaration]) => {
    const chain = builtChain(declaration.options.image);
    return chain === undefined ? [] : [[nameOf(entry, declaration)!, chain]];
  }));
}

const nameOf = (entry: string, declaration: Declaration): string | undefined =>
  declaredName(entry === "default" ? declaration : { ...declaration, exportName: entry });

function specOf(entry: string, declaration: Declaration): Spec {
  const name = nameOf(entry, declaration);
  if (name === undefined) {
    throw new TypeError(
      "Cannot deploy the default export: it has no name; export it by one, or set the option `name`",
    );
  }
  const common = { name, ...containerSpec(declaration.options) };
  switch (declaration.kind) {
    case "function":
      return { ...common, ...functionSpec(name, declaration), kind: "function", body: "ts", entry };
    case "endpoint":
      return { ...common, methods: [endpointOf(name, declaration)], kind: "function", body: "ts", entry };
    case "python":
      return { ...common, ...pythonSpec(name, declaration), kind: "function", body: "python" };
    case "server":
      return { ...common, ...serverSpec(name, declaration), kind: "function", body: "server", entry };
    case "class":
      return { ...common, ...classSpec(name, declaration), kind: "class", body: "ts", entry };
  }
}

function functionSpec(
  name: string,
  { handler, input, schedules }: FunctionDeclaration,
): Pick<Spec, "methods" | "schedules"> {
  const inputSchema = input && jsonSchemaOf(input);
  return {
    methods: [{ name, kind: "call", stream: isGenerator(handler), ...given({ inputSchema }) }],
    schedules: scheduleSpecs(name, schedules),
  };
}

function endpointOf(name: string, { auth }: EndpointDeclaration | ServerDeclaration): Method {
  return { name, kind: "endpoint", endpoint: { name, ...given({ auth }) } };
}

function serverSpec(name: string, declaration: ServerDeclaration): Pick<Spec, "methods" | "server"> {
  return { methods: [endpointOf(name, declaration)], server: declaration.server };
}

function pythonSpec(
  name: string,
  { entry, requirements, preload, schedules, stream }: PythonDeclaration,
) {
  return {
    entry,
    methods: [{ name, kind: "call" as const, stream }],
    schedules: scheduleSpecs(name, schedules),
    requirements: [...requirements],
    preload: [...preload],
  };
}

function classSpec(name: string, declaration: ClassDeclaration): Pick<Spec, "methods" | "schedules"> {
  const { marks } = declaration;
  const methods = [
    ...callableMembers(declaration).map((member) => callableOf(name, member, marks)),
    ...marks.flatMap((mark) => mark.kind === "endpoint" ? [classEndpointOf(name, mark)] : []),
  ];
  if (methods.length === 0) {
    throw new TypeError(`Cannot deploy class ${name}: it has no @method, @endpoint or @cron`);
  }
  const twice = methods.find((method, i) => methods.findIndex(({ name }) => name === method.name) !== i);
  if (twice !== undefined) {
    throw new TypeError(
      `Cannot deploy ${twice.name}: it is marked as two things; give each a member of its own`,
    );
  }
  const schedules = marks.flatMap((mark) =>
    mark.kind === "cron" ? scheduleSpecs(`${name}.${mark.member}`, [mark.schedule]) : []
  );
  return { methods, schedules };
}

function callableOf(name: string, member: string, marks: readonly Mark[]): Method {
  const method = marks.find((mark) => mark.kind === "method" && mark.member === member);
  const { input, stream = false } = method?.kind === "method" ? method : {};
  const inputSchema = input && jsonSchemaOf(input);
  return { name: `${name}.${member}`, member, kind: "call", stream, ...given({ inputSchema }) };
}

function classEndpointOf(
  name: string,
  { member, name: endpoint = member, auth }: Mark & { kind: "endpoint" },
): Method {
  return {
    name: `${name}.${member}`,
    member,
    kind: "endpoint",
    endpoint: { name: endpoint, ...given({ auth }) },
  };
}

function scheduleSpecs(method: string, schedules: readonly Schedule[]): z.input<typeof ScheduleSpec>[] {
  return schedules.map((schedule) => ({ method, ...schedule }));
}

function filesOf(declaration: Declaration): string[] {
  if (declaration.kind === "server") return [...declaration.files];
  if (declaration.kind !== "python") return [];
  return [declaration.entry.slice(0, declaration.entry.indexOf(":")), ...declaration.files];
}

function unexported(declared: readonly Declaration[], found: readonly Declaration[]): string[] {
  const missing = declared.filter((declaration) => !found.includes(declaration));
  if (missing.length === 0) return [];
  const names = missing.map((declaration) =>
    declaredName(declaration) ?? `a ${declaration.kind} without a name`
  );
  return [`Declared but not exported, so not deployed: ${names.join(", ")}`];
}
