/** `App`: the named set of functions that is deployed together. What is declared here runs elsewhere. */
import type { ContainerContext, Context } from "./context.ts";
import { type Schedules, schedulesOf } from "./cron.ts";
import {
  type Callable,
  type ClassDeclaration,
  DECLARATION,
  type Declaration,
  type DeclaredApp,
  declaredName,
  type EndpointDeclaration,
  type FunctionDeclaration,
  type PythonDeclaration,
  type Responder,
  type ServerDeclaration,
} from "./declaration.ts";
import { assertStandard, marksOf } from "./decorators.ts";
import { EndpointHandle } from "./endpoint_handle.ts";
import { type Callee, FunctionHandle } from "./handle.ts";
import { type Invoke, invokeFunction } from "./invoke.ts";
import { localContext } from "./local.ts";
import { type ContainerOptions, containerSpec } from "./options.ts";
import { type ServerOptions, serverSpec } from "./server_options.ts";
import { isSchema, type Schema, type SchemaInput, type SchemaOutput } from "./schema.ts";

/** Choices of {@link App}. */
export interface AppOptions {
  /** npm packages that are not bundled but installed beside the bundle, such as `"npm:onnxruntime-node@1.22.0"`. */
  readonly external?: readonly string[];
}

/** Choices of `app.function`. */
export interface FunctionOptions extends ContainerOptions {
  /** When it is called without anybody calling it. */
  readonly schedule?: Schedules;
  /** A Standard Schema (zod, valibot, arktype, …): checks each input before the handler sees it, and types it. */
  readonly input?: Schema;
}

/** Choices of `app.endpoint`. */
export interface EndpointOptions extends Omit<ContainerOptions, "retries"> {
  /**
   * Who may ask: those with a key, or everybody.
   * @default "key"
   */
  readonly auth?: "key" | "public";
}

/** Choices of `app.python`. */
export interface PythonOptions extends ContainerOptions {
  /** When it is called without anybody calling it. */
  readonly schedule?: Schedules;
  /** Pinned packages, one a line as in `requirements.txt`, for a virtual environment. */
  readonly requirements?: readonly string[];
  /** Other files that the code needs, relative to the module. */
  readonly files?: readonly string[];
  /**
   * Installed modules that are imported once and then shared: containers are forked from a process that has them, such as `["torch"]`.
   * By default none.
   */
  readonly preload?: readonly string[];
  /** Whether it is a generator, whose yields are streamed. By default as its text tells. */
  readonly stream?: boolean;
}

/**
 * An app: give each function its options and its code, and export what that returns.
 *
 * @example
 * ```ts
 * import { App } from "berth";
 *
 * const app = new App("numbers");
 *
 * export const double = app.function({ cpu: 1, retries: 2 }, (n: number) => 2 * n);
 *
 * export const count = app.function({}, async function* (input: { to: number }) {
 *   for (let n = 1; n <= input.to; n++) yield n;
 * });
 * ```
 */
export class App {
  readonly name: string;
  readonly #declared: DeclaredApp;

  constructor(name: string, { external = [] }: AppOptions = {}) {
    if (typeof name !== "string" || name === "") throw new TypeError("Cannot make an app: it needs a name");
    this.name = name;
    this.#declared = { name, external, declared: [] };
  }

  /** Declares a function. Its name is that of the export. */
  function<S extends Schema, Returned>(
    options: FunctionOptions & { readonly input: S },
    handler: (input: SchemaOutput<S>, ctx: Context) => Returned,
  ): FunctionHandle<SchemaInput<S>, Returned>;
  function<Input = void, Returned = unknown>(
    options: FunctionOptions & { readonly input?: never },
    handler: (input: Input, ctx: Context) => Returned,
  ): FunctionHandle<Input, Returned>;
  function(options: FunctionOptions, handler: Callable): FunctionHandle<unknown, never> {
    assertCode(handler, "app.function");
    const { input, schedule } = options;
    if (input !== undefined && !isSchema(input)) {
      throw new TypeError("Cannot declare a function: `input` must be a Standard Schema, such as one of zod");
    }
    const schedules = schedulesOf(schedule);
    const declaration: FunctionDeclaration = {
      kind: "function",
      app: this.#declared,
      options,
      handler,
      input,
      schedules,
    };
    return this.#handle(declaration, invokeFunction(declaration));
  }

  /** Declares an HTTP endpoint, served at `/e/{app}/{name}`. Its name is that of the export. */
  endpoint(
    options: EndpointOptions,
    handler: (request: Request, ctx: ContainerContext) => Response | Promise<Response>,
  ): EndpointHandle {
    assertCode(handler, "app.endpoint");
    const { auth } = options;
    const declaration: EndpointDeclaration = {
      kind: "endpoint",
      app: this.#declared,
      options,
      handler: handler as Responder,
      auth,
    };
    return this.#declare(new EndpointHandle(declaration), declaration);
  }

  /**
   * Declares a function or class written in Python: `file.py:name`, the file relative to the module. The methods of a class are those
   * that it marks by `from berth import method`; `handle(Model).predict` calls them.
   *
   * @example
   * ```ts
   * import { App } from "berth";
   *
   * const app = new App("digits");
   * export const finetune = app.python<{ epochs: number }, { loss: number }>("train.py:finetune", { gpu: "any" });
   * ```
   */
  python<Input = unknown, Result = unknown, Yielded = never>(
    entry: string,
    options: PythonOptions = {},
  ): FunctionHandle<Input, [Yielded] extends [never] ? Result : AsyncGenerator<Yielded, Result>> {
    if (!/^[^:]+\.py:[A-Za-z_]\w*$/.test(entry)) {
      throw new TypeError(`Cannot declare Python code "${entry}": expected "file.py:function"`);
    }
    const { requirements = [], files = [], preload = [], schedule, stream = false } = options;
    const schedules = schedulesOf(schedule);
    const app = this.#declared;
    const declaration: PythonDeclaration = {
      kind: "python",
      app,
      options,
      entry,
      files,
      requirements,
      preload,
      schedules,
      stream,
    };
    return this.#handle(declaration, () => {
      throw new TypeError(`Cannot run ${entry} locally: it is Python`);
    });
  }

  /**
   * Declares a server: any program that listens on `$PORT`, served at `/e/{app}/{name}`. Its name is that of the export. With an
   * `image`, it is the container of that image: `app.server({ image: "vllm/vllm-openai:v0.11.0", health: "/health", gpu: "H100" })`.
   *
   * @example
   * ```ts
   * import { App } from "berth";
   *
   * const app = new App("files");
   * export const web = app.server({ command: ["python3", "-m", "http.server", "$PORT"], concurrency: 8 });
   * ```
   */
  server(options: ServerOptions): EndpointHandle {
    const { files = [], auth } = options;
    const declaration: ServerDeclaration = {
      kind: "server",
      app: this.#declared,
      options,
      server: serverSpec(options),
      files,
      auth,
    };
    return this.#declare(new EndpointHandle(declaration), declaration);
  }

  /** Declares a class: one instance per container, its methods marked by `@method`, `@endpoint`, `@cron`, `@enter`, `@exit`. */
  cls(
    options: ContainerOptions = {},
  ): <C extends new () => object>(Class: C, context: ClassDecoratorContext<C>) => void {
    return (Class, context) => {
      assertStandard(context);
      const marks = marksOf(context.metadata);
      const declaration: ClassDeclaration = {
        kind: "class",
        app: this.#declared,
        options,
        class: Class,
        marks,
      };
      this.#declare(Class, declaration);
    };
  }

  #handle<I, R>(declaration: Declaration, run: Invoke): FunctionHandle<I, R> {
    const { app } = declaration;
    const callee: Callee = {
      get app() {
        return app.name;
      },
      name: () => declaredName(declaration) ?? unnamed(app.name),
      run: (input, ctx) =>
        run(input, ctx ?? localContext({ app: app.name, function: declaredName(declaration) ?? "" })),
    };
    return this.#declare(new FunctionHandle<I, R>(callee), declaration);
  }

  #declare<T extends object>(value: T, declaration: Declaration): T {
    containerSpec(declaration.options); // Throws here, where the user's line is on the stack
    this.#declared.declared.push(declaration);
    Object.defineProperty(value, DECLARATION, { value: declaration });
    return value;
  }
}

function assertCode(code: unknown, where: string): void {
  if (typeof code !== "function") {
    throw new TypeError(`Cannot declare with ${where}: its second argument must be a function`);
  }
}

function unnamed(app: string): never {
  throw new TypeError(
    `Cannot call a function of app "${app}": its name is that of its export, which only an importer sees; ` +
      "say `bind(await import(…))` once, set the option `name`, or use Function.fromName",
  );
}
