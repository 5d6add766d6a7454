/**
 * Checkpoints of running calls. Their bytes go between the runner and the store of blobs; here it is said where to, and what
 * counts. Committed means: the bytes are durable, and then the row. The lease is the fence.
 */
import type { Context as HonoContext } from "hono";
import { z } from "zod";
import { discardBlob } from "../scheduler/store/blobs.ts";
import { insertCheckpoint, latestCheckpoint, latestShared } from "../scheduler/store/checkpoints.ts";
import { PlatformError } from "../sdk/errors.ts";
import { BeginCheckpoint, type CheckpointUpload, CommitCheckpoint, LIMITS, Name } from "../sdk/protocol.ts";
import { announce, URL_MS } from "./announce.ts";
import type { ApiDeps } from "./app.ts";
import { saidByNode } from "./body.ts";
import type { Env } from "./serve.ts";

type Route = (c: HonoContext<Env>) => Promise<Response>;

const Query = z.object({
  node: z.string(),
  lease: z.coerce.number().int().min(0),
  index: z.coerce.number().int().min(0).max(LIMITS.inputsPerRequest),
  name: Name.nullable().default(null),
});

/** A container asks before it has calls, in `@enter`: only what the app shares by name is there for it. */
const SharedQuery = z.object({ node: z.string(), container: z.string(), name: Name });

/**
 * A name of its own: a blob is never overwritten, so that what is committed stays what it was. It holds who may commit it, so
 * that nobody makes another's bytes their own.
 */
const blobKey = ({ lease, index, upload }: { lease: number; index: number; upload: string }): string =>
  `checkpoints/${lease}-${index}-${upload}`;

/** `POST /v1/nodes/{node}/checkpoints/uploads`. */
export function beginCheckpointRoute(deps: ApiDeps): Route {
  const { sql, random } = deps;
  return async (c) => {
    const { size, ...of } = await saidByNode(deps, c, BeginCheckpoint);
    if (await latestCheckpoint(sql, of) === null) throw leaseOver(of.lease);
    const upload = random.bytes(16).toHex();
    const signed = await announce(deps, { key: blobKey({ ...of, upload }), size });
    return c.json({ upload, ...signed } satisfies CheckpointUpload);
  };
}

/** `POST /v1/nodes/{node}/checkpoints`. */
export function commitCheckpointRoute(deps: ApiDeps): Route {
  const { sql, clock, blobs, wakes } = deps;
  return async (c) => {
    const { upload, ...of } = await saidByNode(deps, c, CommitCheckpoint);
    const blob = blobKey({ ...of, upload });
    const stored = await blobs.head(blob);
    if (stored === null) throw notUploaded();
    const save = () => insertCheckpoint(sql, new Date(clock.now()), { ...of, blob, size: stored.size });
    const saved = await save() ?? await save(); // an earlier request may just have done it
    if (saved === null) {
      await discardBlob(sql, new Date(clock.now()), blob);
      throw leaseOver(of.lease);
    }
    wakes.wake("call", saved.batch);
    return c.json({ id: saved.id, size: stored.size });
  };
}

/** `GET` of the same, or with `container=&name=`: the way to the bytes of the last committed one, or 204. */
export function getCheckpointRoute(deps: ApiDeps): Route {
  return async (c) => {
    const latest = c.req.query("container") === undefined
      ? await ofCall(deps, c)
      : await ofContainer(deps, c);
    if (latest.blob === null) return c.body(null, 204);
    const { url } = await deps.blobs.presign(latest.blob, { method: "GET", expiresInMs: URL_MS });
    return c.redirect(url, 307);
  };
}

async function ofCall(deps: ApiDeps, c: HonoContext<Env>) {
  const of = await asked(deps, c);
  const latest = await latestCheckpoint(deps.sql, of);
  if (latest === null) throw leaseOver(of.lease);
  return latest;
}

async function ofContainer({ auth, sql }: ApiDeps, c: HonoContext<Env>) {
  const of = SharedQuery.parse({ ...c.req.query(), ...c.req.param() });
  await auth.node(c.req.header("authorization"), of.node);
  const latest = await latestShared(sql, of);
  if (latest !== null) return latest;
  const message = `Cannot load a checkpoint for container "${of.container}": it does not run on this node`;
  throw new PlatformError("conflict", message, { field: "container" });
}

async function asked({ auth }: ApiDeps, c: HonoContext<Env>): Promise<z.output<typeof Query>> {
  const query = Query.parse({ ...c.req.query(), ...c.req.param() });
  await auth.node(c.req.header("authorization"), query.node);
  return query;
}

function notUploaded(): PlatformError {
  const message = "Cannot commit `upload`: its bytes are not in the store, upload them first";
  return new PlatformError("conflict", message, { field: "upload" });
}

function leaseOver(lease: number): PlatformError {
  return new PlatformError(
    "conflict",
    `Cannot use checkpoints under lease ${lease}: it is over, another attempt may have begun`,
  );
}
