/** Checkpoints of running calls. Committed means: the bytes are durable, and then the row. The lease is the fence. */
import type { Context as HonoContext } from "hono";
import { z } from "zod";
import { insertCheckpoint, latestCheckpoint, latestShared } from "../scheduler/store/checkpoints.ts";
import { PlatformError } from "../sdk/errors.ts";
import { LIMITS, Name } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { announcedBytes, limited } from "./body.ts";
import type { Env } from "./serve.ts";

const Query = z.object({
  node: z.string(),
  lease: z.coerce.number().int().min(0),
  index: z.coerce.number().int().min(0).max(LIMITS.inputsPerRequest),
  name: Name.nullable().default(null),
});

/** A container asks before it has calls, in `@enter`: only what the app shares by name is there for it. */
const SharedQuery = z.object({ node: z.string(), container: z.string(), name: Name });

/** `PUT /v1/nodes/{node}/checkpoints?lease=&index=&name=`. */
export function putCheckpointRoute(deps: ApiDeps): (c: HonoContext<Env>) => Promise<Response> {
  const { sql, clock, random, blobs, wakes } = deps;
  return async (c) => {
    const of = await asked(deps, c);
    announcedBytes(c.req.raw, LIMITS.checkpointBytes);
    if (await latestCheckpoint(sql, of) === null) throw leaseOver(of.lease);
    // A name of its own: a blob is never overwritten, so that what is committed stays what it was.
    const blob = `checkpoints/${random.bytes(16).toHex()}`;
    const body = (c.req.raw.body ?? new Blob([]).stream()).pipeThrough(limited(LIMITS.checkpointBytes));
    const { size } = await blobs.put(blob, body);
    const saved = await insertCheckpoint(sql, new Date(clock.now()), { ...of, blob, size });
    if (saved === null) {
      await blobs.delete(blob);
      throw leaseOver(of.lease);
    }
    wakes.wake("call", saved.batch);
    return c.json({ id: saved.id, size });
  };
}

/** `GET` of the same, or with `container=&name=`: the bytes of the last committed one, or 204. */
export function getCheckpointRoute(deps: ApiDeps): (c: HonoContext<Env>) => Promise<Response> {
  const { blobs } = deps;
  return async (c) => {
    const latest = c.req.query("container") === undefined
      ? await ofCall(deps, c)
      : await ofContainer(deps, c);
    if (latest.blob === null) return new Response(null, { status: 204 });
    const bytes = await blobs.get(latest.blob);
    if (bytes === null) {
      throw new Error(`Cannot read checkpoint ${latest.blob}: its row is there, its bytes are not`);
    }
    const headers = { "content-type": "application/octet-stream", "content-length": String(latest.size) };
    return new Response(bytes, { headers });
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

function leaseOver(lease: number): PlatformError {
  return new PlatformError(
    "conflict",
    `Cannot use checkpoints under lease ${lease}: it is over, another attempt may have begun`,
  );
}
