/** `/openapi.json`: the route table in OpenAPI 3.1, and with `?app=` the inputs of that app's functions. */
import type { Context as HonoContext } from "hono";
import { z } from "zod";
import { findApp } from "../scheduler/store/apps.ts";
import {
  ErrorBody,
  type FunctionSpec,
  Name,
  type Route,
  routes,
  type Scope,
  STATUS_BY_CODE,
} from "../sdk/protocol.ts";
import { VERSION } from "../sdk/version.ts";
import type { ApiDeps } from "./app.ts";
import { noSuchApp } from "./apps.ts";
import type { Authorize, Env } from "./serve.ts";

export const OPENAPI_PATH = "/openapi.json";

type Schema = Record<string, unknown>;
type Paths = Record<string, Record<string, unknown>>;

/** Without a key: what the platform can do. With `?app=` and a key: what can be called in the app, too. */
export function openApiRoute(
  deps: ApiDeps,
  authorize: Authorize,
): (c: HonoContext<Env>) => Promise<Response> {
  const platform = openApi(pathsOf(routes));
  return async (c) => {
    const asked = c.req.query("app");
    if (asked === undefined) return c.json(platform);
    const { workspace } = await authorize(c, "read");
    const { app } = z.object({ app: Name }).parse({ app: asked });
    const row = await findApp(deps.sql, workspace, app);
    if (row === undefined) throw await noSuchApp(deps, workspace, app);
    return c.json(openApi({ ...pathsOf(routes), ...pathsOfApp(app, row.manifest.functions) }));
  };
}

function openApi(paths: Paths): Schema {
  return {
    openapi: "3.1.0",
    info: { title: "Berth", version: VERSION },
    components: {
      securitySchemes: { key: { type: "http", scheme: "bearer" } },
      schemas: { Error: schemaOf(ErrorBody, "output") },
    },
    paths,
  };
}

export function pathsOf(table: Readonly<Record<string, Route>>): Paths {
  const paths: Paths = {};
  for (const [name, route] of Object.entries(table)) {
    const path = route.path.replace(/:(\w+)/g, "{$1}");
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(name, route) };
  }
  return paths;
}

function operationOf(name: string, route: Route): Schema {
  const inPath = [...route.path.matchAll(/:(\w+)/g)].map((match) => match[1]!);
  const { properties = {}, required = [], ...rest } = schemaOf(route.input, "input") as {
    properties?: Record<string, Schema>;
    required?: string[];
  };
  const others = Object.keys(properties).filter((key) => !inPath.includes(key));
  const parameters = (route.method === "POST" ? inPath : [...inPath, ...others]).map((key) => ({
    name: key,
    in: inPath.includes(key) ? "path" : "query",
    required: inPath.includes(key) || required.includes(key),
    schema: properties[key] ?? {},
  }));
  const body = {
    ...rest,
    properties: Object.fromEntries(others.map((key) => [key, properties[key]])),
    required: required.filter((key) => !inPath.includes(key)),
  };
  return {
    operationId: name,
    summary: route.summary,
    ...security(route.scope),
    parameters,
    ...(route.method === "POST" && others.length > 0
      ? { requestBody: { required: true, content: json(body) } }
      : {}),
    responses: {
      [route.status]: { description: route.summary, content: json(schemaOf(route.output, "output")) },
      ...errorResponses(),
    },
  };
}

const security = (scope: Scope | null): Schema =>
  scope === null
    ? { security: [] }
    : { security: [{ key: [] }], description: `Needs a key of scope \`${scope}\`.` };

/** One operation per callable, with the input that its author declared. */
function pathsOfApp(app: string, functions: readonly FunctionSpec[]): Paths {
  const callables = functions.flatMap((spec) => spec.methods).filter((method) => method.kind === "call");
  return Object.fromEntries(callables.map(({ name, inputSchema }) => {
    const body = { type: "object", properties: { input: inputSchema ?? {} }, required: ["input"] };
    const post = {
      operationId: `${app}.${name}`,
      summary: `Call ${app}/${name}`,
      ...security("invoke"),
      requestBody: { required: true, content: json(body) },
      responses: {
        202: { description: "Queued", content: json(schemaOf(routes.createCalls.output, "output")) },
        ...errorResponses(),
      },
    };
    return [`/v1/apps/${app}/functions/${name}/calls`, { post }];
  }));
}

const errorResponses = (): Schema => ({
  default: {
    description: `An error: ${
      Object.entries(STATUS_BY_CODE).map(([code, status]) => `${code} (${status})`).join(", ")
    }`,
    content: json({ $ref: "#/components/schemas/Error" }),
  },
});

const json = (schema: Schema): Schema => ({ "application/json": { schema } });

/** Definitions stay inside their schema: each is whole by itself. */
function schemaOf(schema: z.ZodType, io: "input" | "output"): Schema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: "any" });
  return rest;
}
