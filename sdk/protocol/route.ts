/** What a route is: how it is asked, what it takes and gives, and who may ask. */
import { z } from "zod";

/** What a key may do; each includes those after it. */
export const Scope = z.enum(["admin", "deploy", "invoke", "read"]);
export type Scope = z.infer<typeof Scope>;

export interface Route<In extends z.ZodType = z.ZodType, Out extends z.ZodType = z.ZodType> {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Path with `:name` parameters. */
  readonly path: string;
  /** Path parameters, query (GET, DELETE) and JSON body (POST), merged. */
  readonly input: In;
  readonly output: Out;
  readonly status: number;
  /** Null: no key needed. */
  readonly scope: Scope | null;
  readonly summary: string;
}

/** A line of a route table. */
export const route = <In extends z.ZodType, Out extends z.ZodType>(
  method: Route["method"],
  path: string,
  scope: Scope | null,
  summary: string,
  input: In,
  output: Out,
  status = 200,
): Route<In, Out> => ({ method, path, scope, summary, input, output, status });
