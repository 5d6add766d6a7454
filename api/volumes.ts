/** Volumes by the route table, those that a deployment names, and the way to their files. */
import type { Context as HonoContext } from "hono";
import { insertTransfer } from "../scheduler/store/transfers.ts";
import {
  deleteVolume,
  findVolume,
  insertVolume,
  knownVolumes,
  listVolumes,
  usersOfVolume,
  usualStorage,
} from "../scheduler/store/volumes.ts";
import { PlatformError } from "../sdk/errors.ts";
import { newId } from "../sdk/ports.ts";
import { type Manifest, type Routes, routes, type Volume } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { decodeCursor, IdPlace, pageFrom } from "./cursor.ts";
import { suggestion } from "./near.ts";
import { knownNode } from "./nodes.ts";
import type { Authorize, Env, Handlers } from "./serve.ts";

type VolumeRoutes = Pick<Routes, "listVolumes" | "getVolume" | "createVolume" | "deleteVolume">;

/** Functions that a refusal names. */
const USERS_SHOWN = 5;
/** Volumes that are looked at for a suggestion. */
const NEAR_MAX = 100;

export function volumeHandlers(deps: ApiDeps): Handlers<VolumeRoutes> {
  const { sql, clock, wakes } = deps;
  return {
    async listVolumes({ limit, cursor }, { workspace }) {
      const after = decodeCursor(cursor, IdPlace)?.[0];
      const volumes = await listVolumes(sql, { workspace, after, limit: limit + 1 });
      return pageFrom(volumes, limit, (last) => [last.name]);
    },

    getVolume: ({ volume }, { workspace }) => knownVolume(deps, workspace, volume),

    async createVolume({ volume: name, storage: asked, node }, { workspace }) {
      const home = node === undefined ? null : await homeOf(deps, node, asked);
      const storage = asked ?? (home === null ? await usualStorage(sql) : "node");
      const id = newId("vol", deps);
      await insertVolume(sql, new Date(clock.now()), { id, workspace, name, storage, home });
      wakes.wake("tick");
      const made = await knownVolume(deps, workspace, name);
      const differs = asked !== undefined && made.storage !== storage || home !== null && made.home !== home;
      if (differs) throw isElsewhere(made);
      return made;
    },

    async deleteVolume({ volume: name, force = false }, { workspace }) {
      const users = force ? [] : await usersOfVolume(sql, { workspace, name });
      if (users.length > 0) throw inUse(name, users);
      const now = new Date(clock.now());
      const nodes = await sql.begin((tx) => deleteVolume(tx, now, { workspace, name }));
      if (nodes === undefined) throw await noSuchVolume(deps, workspace, name);
      for (const node of nodes) wakes.wake("node", node);
      wakes.wake("tick");
      return { volume: name };
    },
  };
}

/** `GET /v1/volumes/{volume}/files`: its runner does what is asked of the files of a volume. */
export function volumeFilesRoute(
  deps: ApiDeps,
  authorize: Authorize,
): (c: HonoContext<Env>) => Promise<Response> {
  return async (c) => {
    const { workspace } = await authorize(c, "deploy");
    const { volume } = routes.getVolume.input.parse(c.req.param());
    await knownVolume(deps, workspace, volume);
    return deps.execs.connectClient(c.req.raw, {
      about: { workspace, volume, requestId: c.get("requestId") },
      failing: `Cannot reach the files of volume "${volume}"`,
      want: (sql, now, { id, command }) =>
        insertTransfer(sql, now, { id, workspace, volume, command, writes: command[0] === "put" }),
    });
  };
}

/** Throws unless a workspace has every volume that a manifest mounts; makes those that it is asked to make. */
export async function needVolumes(deps: ApiDeps, workspace: string, { functions }: Manifest): Promise<void> {
  const { sql, clock, wakes } = deps;
  const named = functions.flatMap(({ volumes, nodes, name: fn }, i) =>
    Object.entries(volumes).map(([path, ref]) => ({
      ...ref,
      fn,
      nodes,
      field: `manifest.functions.${i}.volumes.${path}`,
    }))
  );
  if (named.length === 0) return;
  const known = await knownVolumes(sql, workspace, named.map(({ name }) => name));
  const usual = await usualStorage(sql);
  const create = new Set<string>();
  for (const { name, fn, nodes, field } of named) {
    const makes = named.some((other) => other.name === name && other.create);
    if (!known.has(name) && !makes) throw await missing(deps, workspace, name, field);
    if (!known.has(name)) create.add(name);
    if (nodes > 1 && (known.get(name) ?? usual) === "node") {
      refuse(
        field,
        `volume "${name}" lies on one node and "${fn}" runs on ${nodes} at once, it takes one on a shared path`,
      );
    }
  }
  for (const name of create) {
    const id = newId("vol", deps);
    await insertVolume(sql, new Date(clock.now()), { id, workspace, name, storage: usual, home: null });
  }
  if (create.size > 0) wakes.wake("tick");
}

async function knownVolume(deps: ApiDeps, workspace: string, name: string): Promise<Volume> {
  const found = await findVolume(deps.sql, { workspace, name });
  if (found === undefined) throw await noSuchVolume(deps, workspace, name);
  return found;
}

/** The node that is to have a volume, by its id or name. */
async function homeOf(
  deps: ApiDeps,
  called: string,
  storage: Volume["storage"] | undefined,
): Promise<string> {
  if (storage === "shared") {
    refuse("node", "a volume on a shared path is on no node, leave `node` or `storage` out");
  }
  const { id, provision } = await knownNode(deps, called);
  if (provision === null) return id;
  refuse("node", `node "${called}" is of a pool that takes it back when it is idle, and its volumes with it`);
}

async function missing(
  deps: ApiDeps,
  workspace: string,
  name: string,
  field: string,
): Promise<PlatformError> {
  const hint = await near(deps, workspace, name);
  const message =
    `Cannot accept \`${field}\`: this workspace has no volume "${name}", make it with \`berth volume create ${name}\` or say { create: true }${hint}`;
  return new PlatformError("invalid_request", message, { field });
}

async function noSuchVolume(deps: ApiDeps, workspace: string, name: string): Promise<PlatformError> {
  const hint = await near(deps, workspace, name);
  const message = `Cannot find volume "${name}": this workspace has none of this name${hint}`;
  return new PlatformError("not_found", message, { field: "volume" });
}

const near = async ({ sql }: ApiDeps, workspace: string, name: string): Promise<string> =>
  suggestion(name, (await listVolumes(sql, { workspace, limit: NEAR_MAX })).map((one) => one.name));

function isElsewhere({ name, storage, node, home }: Volume): PlatformError {
  const where = storage === "shared"
    ? "on a shared path"
    : home === null
    ? "on a node"
    : `on node ${node ?? home}`;
  const message = `Cannot make volume "${name}" there: it is there already, ${where}`;
  return new PlatformError("conflict", message, { field: "volume" });
}

function inUse(name: string, users: readonly string[]): PlatformError {
  const shown = users.slice(0, USERS_SHOWN).map((user) => `"${user}"`).join(", ");
  const more = users.length > USERS_SHOWN ? `, and ${users.length - USERS_SHOWN} more` : "";
  const message =
    `Cannot delete volume "${name}": ${shown}${more} would not start any more, deploy without it first, or delete it with force`;
  return new PlatformError("conflict", message, { field: "volume" });
}

function refuse(field: string, rule: string): never {
  throw new PlatformError("invalid_request", `Cannot accept \`${field}\`: ${rule}`, { field });
}
