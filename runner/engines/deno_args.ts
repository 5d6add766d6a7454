/** The command line of a Deno guest: exactly what its function declares, and what our own guest needs. Pure. */
import type { FunctionSpec, Permissions } from "../../sdk/protocol.ts";
import { GANG_VARIABLES } from "./environment.ts";

/** Where things are on this machine. */
export interface GuestPaths {
  /** `guest.ts`. */
  readonly guest: string;
  /** Folder of the SDK, which the guest gives to the code as `berth`. */
  readonly sdk: string;
  /** Says where `berth` and what the SDK imports are. */
  readonly importMap: string;
}

export interface SlotPaths {
  readonly dir: string;
  readonly control: string;
  readonly http: string;
  /** Where it listens for a runner that comes back; absent where none does. */
  readonly resume?: string | undefined;
}

export interface DenoLimits {
  readonly permissions: Permissions;
  /** Names of variables it may read. */
  readonly env: readonly string[];
  /** Folders that it may read, beside what it declares. */
  readonly read?: readonly string[];
  /** And write to. */
  readonly write?: readonly string[];
  /** Folders that it may not write to, whatever it declares. */
  readonly denyWrite?: readonly string[];
  /** MiB. */
  readonly memory: number;
  /** Whether it imports npm packages that are not in its bundle. */
  readonly external: boolean;
}

export function denoArgs(paths: GuestPaths, slot: SlotPaths, limits: DenoLimits): string[] {
  return [
    "run",
    "--quiet",
    "--no-prompt",
    "--no-config",
    "--no-lock",
    "--no-remote",
    ...(limits.external ? ["--cached-only", "--node-modules-dir=none"] : ["--no-npm"]),
    "--unstable-no-legacy-abort",
    `--import-map=${paths.importMap}`,
    // V8 ends the process before the memory watch would, with a reason; buffers outside its heap are for the watch.
    `--v8-flags=--max-old-space-size=${limits.memory}`,
    ...permissionFlags(paths, slot, limits),
    paths.guest,
  ];
}

/** True when a function declares no permission: then any prestarted guest will do. */
export const declaresNothing = (permissions: Permissions): boolean =>
  Object.values(permissions).every((value) =>
    value === undefined || value === false || (Array.isArray(value) && value.length === 0)
  );

function permissionFlags(
  paths: GuestPaths,
  slot: SlotPaths,
  { permissions, env, read = [], write = [], denyWrite = [] }: DenoLimits,
): string[] {
  const sockets = [slot.control, slot.http, ...slot.resume === undefined ? [] : [slot.resume]];
  const own = {
    // Its secrets by a name of their own: the guest gives up the slot once the code is loaded.
    read: [slot.dir, paths.sdk, ...read],
    write: [...sockets, ...write],
    net: sockets.map((path) => `unix:${path}`),
    env: ["BERTH_SLOT", ...env],
    run: [],
    ffi: [],
    sys: [],
  } satisfies Record<keyof Permissions, string[]>;
  const allowed = (Object.keys(own) as (keyof Permissions)[]).flatMap((kind) =>
    flag(kind, own[kind], permissions[kind])
  );
  return denyWrite.length === 0 ? allowed : [...allowed, `--deny-write=${listed(denyWrite)}`];
}

/** A comma separates; doubled it is itself. */
const listed = (all: readonly string[]): string => all.map((one) => one.replaceAll(",", ",,")).join(",");

function flag(
  kind: string,
  own: readonly string[],
  declared: boolean | readonly string[] | undefined,
): string[] {
  if (declared === true) return [`--allow-${kind}`];
  const all = [...own, ...(declared || [])];
  return all.length === 0 ? [] : [`--allow-${kind}=${listed(all)}`];
}

/** Where a guest finds its secrets. */
export interface SecretPlaces {
  readonly variables: readonly string[];
  /** Of those that come as files; null when none do. */
  readonly folder: string | null;
}

/** What the guest of a function may do. */
export const limitsOf = (
  { permissions, env, memory, nodes }: FunctionSpec,
  external: boolean,
  { variables, folder }: SecretPlaces = { variables: [], folder: null },
): DenoLimits => ({
  permissions,
  external,
  env: [
    ...Object.keys(env),
    "CUDA_VISIBLE_DEVICES",
    "BERTH_GPUS_SIMULATED",
    ...nodes > 1 ? GANG_VARIABLES : [],
    ...variables,
  ],
  read: folder === null ? [] : [folder],
  memory,
});

/** The same with volumes, wherever they are for the guest: to be read, and to be written to unless they are read-only. */
export function withVolumes(
  limits: DenoLimits,
  volumes: readonly { readonly place: string; readonly readOnly: boolean }[],
): DenoLimits {
  const placesOf = (some: typeof volumes) => some.map(({ place }) => place);
  return {
    ...limits,
    read: [...limits.read ?? [], ...placesOf(volumes)],
    write: placesOf(volumes.filter(({ readOnly }) => !readOnly)),
    denyWrite: placesOf(volumes.filter(({ readOnly }) => readOnly)),
  };
}

/**
 * Permissions, with no more of the network than the egress allows. Programs that code starts and libraries that it loads are not held
 * by permissions: where egress is restricted, code may do neither.
 */
export function withEgress(
  { permissions, egress }: Pick<FunctionSpec, "permissions" | "egress">,
): Permissions {
  if (egress === "open") return permissions;
  const { net = false, ...rest } = permissions;
  const isDeclared = (place: string) =>
    net === true ||
    net !== false && net.some((host) => host === place || host === place.replace(/:\d+$/, ""));
  return { ...rest, net: egress === "deny" ? false : egress.filter(isDeclared), run: false, ffi: false };
}
