/** Declared code made ready to run: inputs checked, classes built and entered. Guests and `.local()` both run it this way. */
import type { ContainerContext, Context } from "./context.ts";
import {
  callableMembers,
  type ClassDeclaration,
  type FunctionDeclaration,
  type Responder,
} from "./declaration.ts";
import { type Schema, validate } from "./schema.ts";

/** Runs with an input as it travelled. */
export type Invoke = (input: unknown, ctx: Context) => unknown;
/** Answers a request. */
export type Respond = (request: Request, ctx: ContainerContext) => unknown;

type Code = (this: unknown, input: unknown, ctx: unknown) => unknown;
type Instance = Record<string, Code>;

/** A function's handler behind its schema. */
export function invokeFunction({ handler, input }: FunctionDeclaration): Invoke {
  return checked(handler as Code, undefined, input);
}

/** A class built and entered: its methods, endpoints and its way out. */
export interface Entered {
  readonly methods: ReadonlyMap<string, Invoke>;
  readonly endpoints: ReadonlyMap<string, Respond>;
  exit(): Promise<void>;
}

/** Builds a class and runs what is marked `@enter`, in the order in which it was written. */
export async function enterClass(declaration: ClassDeclaration, ctx: ContainerContext): Promise<Entered> {
  const { marks } = declaration;
  const instance = new declaration.class() as Instance;
  const runAll = async (kind: "enter" | "exit") => {
    for (const { member } of marks.filter((mark) => mark.kind === kind)) {
      await instance[member]!(ctx, undefined);
    }
  };
  await runAll("enter");
  const schemaOf = (member: string) => marks.find((mark) => mark.kind === "method" && mark.member === member);
  const methods = callableMembers(declaration).map((member) => {
    const mark = schemaOf(member);
    return [
      member,
      checked(instance[member]!, instance, mark?.kind === "method" ? mark.input : undefined),
    ] as const;
  });
  const endpoints = marks.filter(({ kind }) => kind === "endpoint").map(({ member }) =>
    [member, (request: Request, ctx: ContainerContext) => instance[member]!(request, ctx)] as const
  );
  return { methods: new Map(methods), endpoints: new Map(endpoints), exit: () => runAll("exit") };
}

/** An endpoint's handler. */
export const respondWith = (handler: Responder): Respond => handler as Respond;

function checked(code: Code, self: unknown, schema: Schema | undefined): Invoke {
  if (schema === undefined) {
    return self === undefined ? code as Invoke : (input, ctx) => code.call(self, input, ctx);
  }
  return (input, ctx) => {
    const value = validate(schema, input);
    return value instanceof Promise
      ? value.then((value) => code.call(self, value, ctx))
      : code.call(self, value, ctx);
  };
}
