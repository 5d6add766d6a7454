/** The wire: the one description of what travels between Berth's parts and its users. Parse at every door, trust inside. */
export * from "./protocol/apps.ts";
export * from "./protocol/artifacts.ts";
export * from "./protocol/calls.ts";
export * from "./protocol/errors.ts";
export * from "./protocol/exec.ts";
export * from "./protocol/limits.ts";
export * from "./protocol/nodes.ts";
export * from "./protocol/pools.ts";
export * from "./protocol/primitives.ts";
export * from "./protocol/route.ts";
export * from "./protocol/routes.ts";
export * from "./protocol/runner.ts";
export * from "./protocol/scaling.ts";
export * from "./protocol/secrets.ts";
export * from "./protocol/server.ts";
export * from "./protocol/workspaces.ts";
