/** What a manifest must keep beyond its schema: names that are unique, methods that exist, crons that mean something. Pure. */
import { scheduleProblem } from "../scheduler/schedule.ts";
import { PlatformError } from "../sdk/errors.ts";
import type { FunctionSpec, Manifest, MethodSpec, ScheduleSpec } from "../sdk/protocol.ts";
import { suggestion } from "./near.ts";

/** Throws `invalid_request` with the first field that breaks a rule. */
export function checkManifest({ functions }: Manifest, now: number): void {
  const endpoints = new Set<string>();
  functions.forEach((spec, i) => {
    const field = `manifest.functions.${i}`;
    if (functions.findIndex((other) => other.name === spec.name) < i) {
      refuse(`${field}.name`, `two functions are named "${spec.name}"`);
    }
    checkMethods(spec, field, endpoints);
    checkGang(spec, field);
    checkSecrets(spec, field);
    checkVolumes(spec, field);
    checkServer(spec, field);
    spec.schedules.forEach((_, k) => checkSchedule(spec, k, `${field}.schedules.${k}`, now));
  });
}

function checkMethods({ name, kind, methods }: FunctionSpec, field: string, endpoints: Set<string>): void {
  methods.forEach((method, k) => {
    const at = `${field}.methods.${k}`;
    if (kind === "function" && method.name !== name) {
      refuse(`${at}.name`, `the method of function "${name}" must have its name, not "${method.name}"`);
    }
    if (kind === "class" && !isMethodName(method.name, name)) {
      refuse(`${at}.name`, `"${method.name}" must be "${name}.METHOD", being a method of class "${name}"`);
    }
    if (methods.findIndex((other) => other.name === method.name && other.kind === method.kind) < k) {
      refuse(`${at}.name`, `two methods are named "${method.name}"`);
    }
    checkEndpoint(method, at, endpoints);
  });
}

const isMethodName = (name: string, of: string): boolean =>
  name.startsWith(`${of}.`) && /^[A-Za-z_$][A-Za-z0-9_$]{0,62}$/.test(name.slice(of.length + 1));

function checkEndpoint({ kind, endpoint }: MethodSpec, field: string, endpoints: Set<string>): void {
  if ((kind === "endpoint") !== (endpoint !== undefined)) {
    refuse(`${field}.endpoint`, "it must be given for methods of kind `endpoint`, and for no others");
  }
  if (endpoint === undefined) return;
  if (endpoints.has(endpoint.name)) {
    refuse(`${field}.endpoint.name`, `two endpoints of the app are named "${endpoint.name}"`);
  }
  endpoints.add(endpoint.name);
}

/** What no gang does: it begins each call together, and its result is rank 0's. */
function checkGang(
  { name, nodes, concurrency, methods, image, egress }: FunctionSpec,
  field: string,
): void {
  if (nodes === 1) return;
  const all = `the ${nodes} nodes of "${name}"`;
  if (image !== undefined && egress !== "open") {
    refuse(
      `${field}.egress`,
      `the containers of ${all} have the networks of their machines, to reach each other; it must be "open"`,
    );
  }
  if (concurrency > 1) {
    refuse(`${field}.concurrency`, `${all} run one call at a time, it must be 1, not ${concurrency}`);
  }
  methods.forEach(({ kind, stream }, k) => {
    const at = `${field}.methods.${k}`;
    if (kind === "endpoint") {
      refuse(`${at}.kind`, `${all} run calls together, a function with an endpoint must have one node`);
    }
    if (stream) {
      refuse(`${at}.stream`, `${all} cannot yield as one, return a result or give the function one node`);
    }
  });
}

function checkSecrets({ name, secrets }: FunctionSpec, field: string): void {
  secrets.forEach((secret, k) => {
    if (secrets.findIndex((other) => other.name === secret.name) < k) {
      refuse(`${field}.secrets.${k}.name`, `"${name}" names secret "${secret.name}" twice`);
    }
    if (secret.as === "env" && secret.path !== undefined) {
      refuse(`${field}.secrets.${k}.path`, "only a secret that comes as files has a path");
    }
  });
}

/** Files of secrets lie beside volumes, not in them. */
function checkVolumes({ volumes, secrets }: FunctionSpec, field: string): void {
  const paths = secrets.flatMap(({ path }) => path ?? []);
  for (const mount of Object.keys(volumes)) {
    const other = paths.find((path) =>
      `${path}/`.startsWith(`${mount}/`) || `${mount}/`.startsWith(`${path}/`)
    );
    if (other !== undefined) {
      refuse(
        `${field}.volumes.${mount}`,
        `it must not lie in the folder of a secret, or around it, as ${other} is`,
      );
    }
  }
}

/** A server is one program behind one endpoint; nothing but requests reaches it. */
function checkServer({ body, methods, server, image }: FunctionSpec, field: string): void {
  if ((body === "server") !== (server !== undefined)) {
    refuse(`${field}.server`, "it must be given for body `server`, and for no other");
  }
  if (server === undefined) return;
  if (server.command === undefined && image === undefined) {
    refuse(`${field}.server.command`, "it must be given where there is no `image` that runs one by itself");
  }
  if (methods.length > 1) refuse(`${field}.methods`, "a server must have one endpoint and nothing else");
  if (methods[0]!.kind !== "endpoint") {
    refuse(`${field}.methods.0.kind`, "it must be `endpoint` for a server");
  }
}

function checkSchedule(spec: FunctionSpec, k: number, field: string, now: number): void {
  const { method, cron, timeZone } = spec.schedules[k]!;
  const callables = spec.methods.filter(({ kind }) => kind === "call").map(({ name }) => name);
  if (!callables.includes(method)) {
    refuse(
      `${field}.method`,
      `"${spec.name}" has no method "${method}" to call${suggestion(method, callables)}`,
    );
  }
  const problem = scheduleProblem(cron, timeZone, now);
  if (problem !== null) {
    refuse(`${field}.${problem.includes("time zone") ? "timeZone" : "cron"}`, problem.replace(/\.$/, ""));
  }
  if (spec.schedules.findIndex((other) => isSame(other, spec.schedules[k]!)) < k) {
    refuse(field, `"${method}" has this schedule twice`);
  }
}

const isSame = (a: ScheduleSpec, b: ScheduleSpec): boolean =>
  a.method === b.method && a.cron === b.cron && a.timeZone === b.timeZone;

function refuse(field: string, rule: string): never {
  throw new PlatformError("invalid_request", `Cannot accept \`${field}\`: ${rule}`, { field });
}
