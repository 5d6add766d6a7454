/** Workspaces, which operators make and change; and their keys, which their own admins may handle too. */
import { listKeys, revokeKey } from "../scheduler/store/keys.ts";
import {
  findWorkspace,
  insertWorkspace,
  listWorkspaces,
  updateWorkspace,
} from "../scheduler/store/workspaces.ts";
import { PlatformError } from "../sdk/errors.ts";
import { type Routes, type Workspace, workspaceProblem, type WorkspaceSettings } from "../sdk/protocol.ts";
import type { Sql } from "../scheduler/store/connect.ts";
import type { ApiDeps } from "./app.ts";
import { createKey, needOperator } from "./auth.ts";
import { decodeCursor, IdPlace, pageFrom } from "./cursor.ts";
import type { Context, Handlers } from "./serve.ts";

type WorkspaceRoutes = Pick<
  Routes,
  | "listWorkspaces"
  | "getWorkspace"
  | "createWorkspace"
  | "updateWorkspace"
  | "listKeys"
  | "createKey"
  | "revokeKey"
>;

export function workspaceHandlers(deps: ApiDeps): Handlers<WorkspaceRoutes> {
  const { sql, clock, wakes } = deps;
  const now = () => new Date(clock.now());
  return {
    async listWorkspaces({ limit, cursor }, caller) {
      needOperator(caller);
      const after = decodeCursor(cursor, IdPlace)?.[0];
      return pageFrom(await listWorkspaces(sql, { after, limit: limit + 1 }), limit, (last) => [last.name]);
    },

    async getWorkspace({ workspace }, caller) {
      needAdminOf(workspace, caller);
      return await known(sql, workspace);
    },

    async createWorkspace({ name, ...settings }, caller) {
      needOperator(caller);
      check(settings);
      if (!await insertWorkspace(sql, now(), name, settings)) {
        const message =
          `Cannot make workspace "${name}": there is one, change it with \`berth workspaces set\``;
        throw new PlatformError("conflict", message, { field: "name" });
      }
      return await known(sql, name);
    },

    async updateWorkspace({ workspace, ...some }, caller) {
      needOperator(caller);
      await sql.begin(async (tx) => {
        const given = Object.fromEntries(Object.entries(some).filter(([, value]) => value !== undefined));
        const settings: WorkspaceSettings = { ...await known(tx, workspace), ...given };
        check(settings);
        await updateWorkspace(tx, workspace, settings);
      });
      wakes.wake("tick");
      return await known(sql, workspace);
    },

    async listKeys({ workspace, limit, cursor, revoked }, caller) {
      needAdminOf(workspace, caller);
      await known(sql, workspace);
      const after = decodeCursor(cursor, IdPlace)?.[0];
      const keys = await listKeys(sql, { workspace, revoked, after, limit: limit + 1 });
      return pageFrom(keys, limit, (last) => [last.id]);
    },

    async createKey({ workspace, name, scope }, caller) {
      needAdminOf(workspace, caller);
      await known(sql, workspace);
      const { id, key } = await createKey(deps, { workspace, name, scope });
      const [made] = await listKeys(sql, { workspace, id, limit: 1 });
      return { ...made!, key };
    },

    async revokeKey({ workspace, key }, caller) {
      needAdminOf(workspace, caller);
      const revoked = await revokeKey(sql, now(), { workspace, id: key });
      if (revoked !== undefined) return revoked;
      const message = `Cannot find key "${key}": workspace "${workspace}" has none of this id`;
      throw new PlatformError("not_found", message, { field: "key" });
    },
  };
}

/** Throws unless the caller runs the platform, or this workspace. The route has asked for scope `admin` already. */
function needAdminOf(workspace: string, caller: Context): void {
  if (caller.workspace !== workspace) needOperator(caller);
}

async function known(sql: Sql, name: string): Promise<Workspace> {
  const found = await findWorkspace(sql, name);
  if (found !== undefined) return found;
  const message = `Cannot find workspace "${name}": there is none, make it with \`berth workspaces create\``;
  throw new PlatformError("not_found", message, { field: "workspace" });
}

function check(settings: WorkspaceSettings): void {
  const problem = workspaceProblem(settings);
  if (problem === null) return;
  const message = `Cannot accept \`${problem.field}\`: ${problem.message}`;
  throw new PlatformError("invalid_request", message, { field: problem.field });
}
