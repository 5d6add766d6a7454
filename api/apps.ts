/** Apps and their deployments. A deploy may be repeated: only a difference makes a new version. */
import { keepBundle } from "../scheduler/store/bundles.ts";
import { appNames, findApp, listApps, toApp, toDeployment } from "../scheduler/store/apps.ts";
import { deleteApp, deploy, type Ended, type NewSchedule } from "../scheduler/store/deploy.ts";
import { prefetchImages } from "../scheduler/store/images.ts";
import { NOTHING, wakeTouched } from "../scheduler/store/touched.ts";
import { nextTick } from "../scheduler/schedule.ts";
import { parseReference } from "../sdk/image_reference.ts";
import { PlatformError } from "../sdk/errors.ts";
import { newId } from "../sdk/ports.ts";
import type { Manifest, Routes } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { decodeCursor, IdPlace, pageFrom } from "./cursor.ts";
import { checkManifest } from "./manifest.ts";
import { suggestion } from "./near.ts";
import { needSecrets } from "./secrets/missing.ts";
import type { Context, Handlers } from "./serve.ts";
import { needVolumes } from "./volumes.ts";

type AppRoutes = Pick<Routes, "createDeployment" | "listApps" | "getApp" | "deleteApp">;

export function appHandlers(deps: ApiDeps): Handlers<AppRoutes> {
  const { sql, clock } = deps;
  const now = () => new Date(clock.now());
  return {
    async createDeployment({ app, bundle, manifest }, context) {
      const { workspace } = context;
      checkManifest(manifest, clock.now());
      await needSecrets(sql, workspace, manifest);
      await needBundle(deps, workspace, bundle);
      await needVolumes(deps, workspace, manifest);
      const schedules = newSchedules(deps, manifest);
      const id = newId("dep", deps);
      const done = await deploy(sql, now(), { id, workspace, app, digest: bundle, manifest, schedules });
      if (done.changed) {
        await tellChanged(deps, done.ended);
        await prefetch(deps, manifest);
      }
      return toDeployment(done.app, endpointUrl(deps, context, app));
    },

    async listApps({ limit, cursor }, context) {
      const after = decodeCursor(cursor, IdPlace)?.[0];
      const rows = await listApps(sql, { workspace: context.workspace, after, limit: limit + 1 });
      const { items, ...more } = pageFrom(rows, limit, (last) => [last.name]);
      return { items: items.map((row) => toApp(row, endpointUrl(deps, context, row.name))), ...more };
    },

    async getApp({ app }, context) {
      const row = await findApp(sql, context.workspace, app);
      if (row === undefined) throw await noSuchApp(deps, context.workspace, app);
      return toApp(row, endpointUrl(deps, context, app));
    },

    async deleteApp({ app }, { workspace }) {
      const ended = await deleteApp(sql, now(), workspace, app);
      if (ended === null) throw await noSuchApp(deps, workspace, app);
      await tellChanged(deps, ended);
      return { app, cancelledCalls: ended.calls };
    },
  };
}

/** Everybody who goes by what is deployed, or waits for a call that this ended. */
async function tellChanged({ wakes, endpoints }: ApiDeps, { batchIds, nodeIds }: Ended): Promise<void> {
  wakes.wake("routes");
  wakeTouched(wakes, { ...NOTHING, batchIds, nodeIds });
  wakes.wake("tick");
  await endpoints.refresh(); // whoever deployed an endpoint may ask for it at once
}

/** Of a function that starts small, on this many nodes. */
const PREFETCH_NODES = 4;

/**
 * Has nodes pull the images of what was deployed. One behind a secret comes with its first container: what opens the registry is given
 * to that alone; one that was built without a registry is where it is. Nothing depends on it.
 */
async function prefetch({ sql, clock, log, wakes }: ApiDeps, { functions }: Manifest): Promise<void> {
  const wanted = functions.flatMap(({ image, labels, scale, nodes }) =>
    image === undefined || image.secret !== undefined || parseReference(image.ref).registry === "localhost"
      ? []
      : [{ ref: image.ref, labels, nodes: Math.max(PREFETCH_NODES, scale.min + scale.buffer, nodes) }]
  );
  const nodeIds = await prefetchImages(sql, new Date(clock.now()), wanted).catch((error) => {
    log("images.prefetch_failed", { message: String(error) });
    return [];
  });
  wakeTouched(wakes, { ...NOTHING, nodeIds });
}

async function needBundle({ sql }: ApiDeps, workspace: string, digest: string): Promise<void> {
  if (await keepBundle(sql, { workspace, digest })) return;
  const message =
    `Cannot accept \`bundle\`: no bundle ${digest} was uploaded to this workspace, PUT it to /v1/bundles/${digest} first`;
  throw new PlatformError("invalid_request", message, { field: "bundle" });
}

function newSchedules(deps: ApiDeps, { functions }: Manifest): NewSchedule[] {
  return functions.flatMap((spec) =>
    spec.schedules.map(({ method, cron, timeZone, input }) => {
      const next = nextTick(cron, timeZone, deps.clock.now());
      const nextAt = next === null ? null : new Date(next);
      return { id: newId("sched", deps), function: spec.name, method, cron, timeZone, input, nextAt };
    })
  );
}

const endpointUrl =
  ({ publicUrl }: ApiDeps, { origin }: Context, app: string) => (endpoint: string): string =>
    `${publicUrl ?? origin}/e/${app}/${endpoint}`;

export async function noSuchApp(
  { sql }: Pick<ApiDeps, "sql">,
  workspace: string,
  app: string,
): Promise<PlatformError> {
  const hint = suggestion(app, await appNames(sql, workspace));
  return new PlatformError(
    "not_found",
    `Cannot find app "${app}": nothing is deployed under this name${hint}`,
    { field: "app" },
  );
}
