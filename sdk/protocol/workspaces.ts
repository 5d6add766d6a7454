/** Workspaces: tenants, what each is promised and may have, and the keys to them. */
import { z } from "zod";
import { Name, Page, pageOf, Timestamp } from "./primitives.ts";
import { route, Scope } from "./route.ts";

const Gpus = z.number().min(0).max(1_000_000);
const Cores = z.number().min(0).max(1_000_000);

const settings = {
  /** Its share of what several want, relative to the others. */
  weight: z.number().int().min(1).max(10_000),
  /** GPUs that it is promised: it gets them back from those who borrowed them. Null: none. */
  gpus: Gpus.nullable(),
  /** With what it borrows. Null: as many as there are. */
  maxGpus: Gpus.nullable(),
  /** Cores, likewise. */
  cpu: Cores.nullable(),
  maxCpu: Cores.nullable(),
  /** Calls that may wait. Null: no limit of its own. */
  maxQueued: z.number().int().min(0).max(2 ** 31 - 1).nullable(),
};

export const WorkspaceSettings = z.object(settings);
export type WorkspaceSettings = z.infer<typeof WorkspaceSettings>;

export const CreateWorkspace = z.object({
  name: Name,
  weight: settings.weight.default(100),
  gpus: settings.gpus.default(null),
  maxGpus: settings.maxGpus.default(null),
  cpu: settings.cpu.default(null),
  maxCpu: settings.maxCpu.default(null),
  maxQueued: settings.maxQueued.default(null),
});
export type CreateWorkspace = z.infer<typeof CreateWorkspace>;

/** Settings that are absent stay as they are. */
export const UpdateWorkspace = z.object({ workspace: Name, ...z.object(settings).partial().shape });

/** Why settings contradict one another; null when they don't. */
export function workspaceProblem(
  { gpus, maxGpus, cpu, maxCpu }: WorkspaceSettings,
): { field: string; message: string } | null {
  const tooMuch = (field: string, promised: number | null, most: number | null) =>
    promised !== null && most !== null && promised > most
      ? { field, message: `it is promised ${promised} and may have at most ${most}` }
      : null;
  return tooMuch("gpus", gpus, maxGpus) ?? tooMuch("cpu", cpu, maxCpu);
}

export const Workspace = z.object({
  name: z.string(),
  ...settings,
  /** What it has at this moment. */
  usage: z.object({
    gpus: z.number(),
    cpu: z.number(),
    containers: z.number().int(),
    /** Calls that wait, those with a delay included. */
    queued: z.number(),
    running: z.number().int(),
    /** GPU-seconds used of late: they count half after an hour. */
    gpuSeconds: z.number(),
  }),
  createdAt: Timestamp,
});
export type Workspace = z.infer<typeof Workspace>;
export const WorkspacePage = pageOf(Workspace);

/** A key as it is listed; its text is only ever shown when it is made. */
export const ApiKey = z.object({
  id: z.string(),
  name: z.string(),
  scope: Scope,
  createdAt: Timestamp,
  revokedAt: Timestamp.nullable(),
});
export type ApiKey = z.infer<typeof ApiKey>;
export const ApiKeyPage = pageOf(ApiKey);

export const CreateKey = z.object({
  workspace: Name,
  /** To tell it from others. */
  name: z.string().min(1).max(128),
  scope: Scope,
});
export const CreatedKey = ApiKey.extend({ key: z.string() });
export type CreatedKey = z.infer<typeof CreatedKey>;

const ByWorkspace = z.object({ workspace: Name });

/** Routes of workspaces, for operators; and of keys, for operators and for the admins of the workspace. */
export const workspaceRoutes = {
  listWorkspaces: route("GET", "/v1/workspaces", "admin", "Workspaces, for operators", Page, WorkspacePage),
  getWorkspace: route("GET", "/v1/workspaces/:workspace", "admin", "One workspace", ByWorkspace, Workspace),
  createWorkspace: route(
    "POST",
    "/v1/workspaces",
    "admin",
    "Make a workspace, for operators",
    CreateWorkspace,
    Workspace,
    201,
  ),
  updateWorkspace: route(
    "POST",
    "/v1/workspaces/:workspace",
    "admin",
    "Change settings of a workspace, for operators",
    UpdateWorkspace,
    Workspace,
  ),
  listKeys: route(
    "GET",
    "/v1/workspaces/:workspace/keys",
    "admin",
    "Keys of a workspace, newest first; with `revoked` also those that were revoked",
    ByWorkspace.extend(Page.shape).extend({ revoked: z.stringbool().optional() }),
    ApiKeyPage,
  ),
  createKey: route(
    "POST",
    "/v1/workspaces/:workspace/keys",
    "admin",
    "Make a key; its text is shown this once",
    CreateKey,
    CreatedKey,
    201,
  ),
  revokeKey: route(
    "DELETE",
    "/v1/workspaces/:workspace/keys/:key",
    "admin",
    "Revoke a key: within seconds it is refused",
    ByWorkspace.extend({ key: z.string().max(64) }),
    ApiKey,
  ),
} as const;
