/** What the autoscaler decided, and the same decisions made again. */
import { decide } from "../scheduler/scaling.ts";
import { findApp } from "../scheduler/store/apps.ts";
import { listScalings, type ScalingRow } from "../scheduler/store/autoscale.ts";
import { PlatformError } from "../sdk/errors.ts";
import type { Routes, Scaling } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { noSuchApp } from "./apps.ts";
import { decodeCursor, pageFrom, SeqPlace } from "./cursor.ts";
import { suggestion } from "./near.ts";
import type { Handlers } from "./serve.ts";

export function scalingHandlers(deps: ApiDeps): Handlers<Pick<Routes, "listScalings">> {
  return {
    async listScalings({ limit, cursor, replay = false, ...of }, { workspace }) {
      const before = decodeCursor(cursor, SeqPlace)?.[0];
      const rows = await listScalings(deps.sql, { ...of, workspace, before, limit: limit + 1 });
      if (rows === null) throw await noSuchFunction(deps, workspace, of);
      return pageFrom(rows.map((row) => toScaling(row, replay)), limit, (last) => [last.seq]);
    },
  };
}

const toScaling = ({ at, inputs, ...row }: ScalingRow, replay: boolean): Scaling => ({
  ...row,
  at: at.toISOString(),
  inputs: { ...inputs },
  ...(replay ? { replayed: decide(inputs) } : {}),
});

async function noSuchFunction(
  deps: ApiDeps,
  workspace: string,
  { app, function: name }: { app: string; function: string },
): Promise<PlatformError> {
  const row = await findApp(deps.sql, workspace, app);
  if (row === undefined) return await noSuchApp(deps, workspace, app);
  const hint = suggestion(name, row.manifest.functions.map((fn) => fn.name));
  const message = `Cannot find function "${name}": app "${app}" has none of this name${hint}`;
  return new PlatformError("not_found", message, { field: "function" });
}
