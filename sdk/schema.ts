/** Users' schemas through Standard Schema (zod, valibot, arktype, …): validation, types and JSON Schema. Pure. */
import type { Json } from "./protocol/primitives.ts";

/** One thing that is wrong with an input. */
export interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What a validation found: the value as the handler gets it, or what is wrong. */
export type Validated<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly Issue[] };

/** A schema by the Standard Schema specification, version 1: what zod, valibot, arktype and others all offer. */
export interface Schema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Validated<Output> | Promise<Validated<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
    /** Standard JSON Schema, where the vendor has it (zod since 4.2). */
    readonly jsonSchema?: {
      readonly input: (options: { readonly target: "draft-2020-12" }) => Record<string, unknown>;
    };
  };
}

type Types<S extends Schema> = NonNullable<S["~standard"]["types"]>;
/** What callers send to a function with this schema. */
export type SchemaInput<S extends Schema> = Types<S>["input"];
/** What the handler gets. */
export type SchemaOutput<S extends Schema> = Types<S>["output"];

/** The input does not fit the function's schema. Another attempt cannot help. */
export class InvalidInputError extends Error {
  override readonly name = "InvalidInputError";
  readonly retryable = false;
}

/** The input as the handler gets it; at once when the schema can tell at once. Throws {@link InvalidInputError}. */
export function validate<Output>(schema: Schema<unknown, Output>, input: unknown): Output | Promise<Output> {
  const validated = schema["~standard"].validate(input);
  return validated instanceof Promise ? validated.then(valueOf) : valueOf(validated);
}

function valueOf<Output>(validated: Validated<Output>): Output {
  if (validated.issues === undefined) return validated.value;
  throw new InvalidInputError(validated.issues.slice(0, 10).map(sentence).join("; "));
}

/** `input.epochs: expected number, received string` */
function sentence({ message, path = [] }: Issue): string {
  const keys = path.map((step) => String(typeof step === "object" ? step.key : step));
  return `${["input", ...keys].join(".")}: ${message}`;
}

/** JSON Schema of what callers send, or undefined when the schema cannot tell. */
export function jsonSchemaOf(schema: Schema): Record<string, Json> | undefined {
  try {
    const json = schema["~standard"].jsonSchema?.input({ target: "draft-2020-12" });
    return json && JSON.parse(JSON.stringify(json));
  } catch {
    return undefined; // A date, a transform: valid schemas, but JSON Schema has no words for them
  }
}

/** True for everything that offers Standard Schema. Some vendors' schemas are functions. */
export function isSchema(value: unknown): value is Schema {
  return (typeof value === "object" || typeof value === "function") && value !== null && "~standard" in value;
}
