/** The api as one Hono app: every route mounted, every answer with its `x-request-id`, every error in the one format. */
import { type Context as HonoContext, Hono } from "hono";
import { formatDuration } from "../sdk/duration.ts";
import { PlatformError } from "../sdk/errors.ts";
import { type Clock, type Log, newId, type Random } from "../sdk/ports.ts";
import {
  ARTIFACT_CONTENT,
  type Routes,
  routes,
  RUNNER_PATHS,
  STREAM_PATHS,
  VOLUME_PATHS,
} from "../sdk/protocol.ts";
import { VERSION } from "../sdk/version.ts";
import type { Pool } from "../scheduler/store/connect.ts";
import { insertExec } from "../scheduler/store/execs.ts";
import type { Wakes } from "../scheduler/wakes.ts";
import { appHandlers } from "./apps.ts";
import { getArtifactRoute } from "./artifact_bytes.ts";
import { artifactHandlers } from "./artifacts.ts";
import { type Auth, permit } from "./auth.ts";
import type { Blobs } from "./blobs/blobs.ts";
import { getBlobRoute, putBlobRoute } from "./blobs/route.ts";
import { checkHeaders } from "./body.ts";
import { putBundleRoute } from "./bundles.ts";
import type { Callables } from "./callables.ts";
import { callHandlers } from "./calls.ts";
import type { EnqueueGroup } from "./enqueue.ts";
import { answerError } from "./errors.ts";
import type { Execs } from "./execs.ts";
import type { Exchanges } from "./exchange.ts";
import { imageHandlers, type ImageSettings } from "./images.ts";
import { liveContainerRoute } from "./live_container.ts";
import { liveImageRoute } from "./live_image.ts";
import { liveRoute } from "./live.ts";
import { knownContainer, nodeHandlers } from "./nodes.ts";
import { OPENAPI_PATH, openApiRoute } from "./openapi.ts";
import { poolHandlers } from "./pools.ts";
import { resultsRoute } from "./results.ts";
import { serveRunners } from "./runners.ts";
import { scalingHandlers } from "./scaling.ts";
import { scheduleHandlers } from "./schedules.ts";
import { secretHandlers } from "./secrets/routes.ts";
import type { Vault } from "./secrets/vault.ts";
import { type Authorize, type Env, type Handlers, refuseOtherMethods, Reply, serve } from "./serve.ts";
import type { Syncs } from "./sync.ts";
import { getValueRoute, valueHandlers } from "./values.ts";
import { volumeFilesRoute, volumeHandlers } from "./volumes.ts";
import { workspaceHandlers } from "./workspaces.ts";

export interface ApiDeps {
  readonly sql: Pool;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly wakes: Wakes;
  readonly blobs: Blobs;
  readonly auth: Auth;
  readonly callables: Callables;
  readonly enqueue: EnqueueGroup;
  readonly exchanges: Exchanges;
  readonly execs: Execs;
  readonly syncs: Syncs;
  readonly endpoints: Endpoints;
  readonly vault: Vault;
  readonly images: ImageSettings;
  /** Where users reach this api, when that is not what their requests say. */
  readonly publicUrl?: string | undefined;
  /** Where this process listens. */
  readonly ownUrl: () => string;
  /** When this process began to serve (ms). */
  readonly startedAt: number;
  /** Aborts when the platform closes: whoever waits answers at once with what there is. */
  readonly closing: AbortSignal;
}

/** What this api needs of the gateway. */
export interface Endpoints {
  /** Answers a request to `/e/…`, with the request's id in `x-request-id`. */
  handle(
    request: Request,
    from: { readonly requestId: string; readonly peer: string | null },
  ): Promise<Response>;
  /** Resolves when what was committed before is known to it. */
  refresh(): Promise<void>;
}

/** Answers any request; `peer` is the address that it came from. */
export type Answer = (request: Request, peer: string | null) => Promise<Response>;

/** The whole api. Requests of endpoints go past the routes, straight to the gateway. */
export function createApi(deps: ApiDeps): Answer {
  const app = createApp(deps);
  return async (request, peer) =>
    ENDPOINT_URL.test(request.url) ? await answerEndpoint(deps, request, peer) : await app.fetch(request);
}

const ENDPOINT_URL = /^[^:]+:\/\/[^/]+\/e\//;

async function answerEndpoint(deps: ApiDeps, request: Request, peer: string | null): Promise<Response> {
  const requestId = requestIdOf(request, deps);
  try {
    checkHeaders(request.headers);
    return await deps.endpoints.handle(request, { requestId, peer });
  } catch (error) {
    return answerError(error, requestId, deps.log);
  }
}

function createApp(deps: ApiDeps): Hono<Env> {
  const app = new Hono<Env>();
  const authorize: Authorize = async (c, scope) => {
    const caller = c.env?.caller ?? await deps.auth.caller(c.req.header("authorization"));
    permit(caller, scope);
    return caller;
  };

  app.use(async (c, next) => {
    c.set("requestId", requestIdOf(c.req.raw, deps));
    checkHeaders(c.req.raw.headers);
    await next();
    // A response that upgrades its connection must stay the one that it is.
    if (c.res.status !== 101) c.header("x-request-id", c.get("requestId"));
  });
  app.onError((error, c) => answerError(error, c.get("requestId"), deps.log));
  app.notFound((c) => {
    const message = `Cannot ${c.req.method} ${c.req.path}: there is no such route, see /openapi.json`;
    return answerError(new PlatformError("not_found", message), c.get("requestId"), deps.log);
  });

  app.get(STREAM_PATHS.logs, liveRoute(deps, authorize, "logs"));
  app.get(STREAM_PATHS.events, liveRoute(deps, authorize, "events"));
  app.get(STREAM_PATHS.exec, execRoute(deps, authorize));
  app.get(VOLUME_PATHS.files, volumeFilesRoute(deps, authorize));
  app.get(STREAM_PATHS.containerLogs, liveContainerRoute(deps, authorize));
  app.get(STREAM_PATHS.imageLogs, liveImageRoute(deps, authorize));
  app.get(STREAM_PATHS.results, resultsRoute(deps, authorize));
  app.put(STREAM_PATHS.bundle, putBundleRoute(deps, authorize));
  app.get(STREAM_PATHS.value, getValueRoute(deps, authorize));
  app.get(STREAM_PATHS.blob, getBlobRoute(deps.blobs));
  app.put(STREAM_PATHS.blob, putBlobRoute(deps.blobs));
  app.get(ARTIFACT_CONTENT, getArtifactRoute(deps, authorize));
  app.get(OPENAPI_PATH, openApiRoute(deps, authorize));
  serve(app, routes, handlersOf(deps), authorize);
  serveRunners(app, deps);
  refuseOtherMethods(app, METHODS);
  return app;
}

/** A command inside a container of the caller's workspace. */
function execRoute(deps: ApiDeps, authorize: Authorize) {
  return async (c: HonoContext<Env>): Promise<Response> => {
    const { workspace } = await authorize(c, "deploy");
    const { id: container } = routes.getContainer.input.parse(c.req.param());
    await knownContainer(deps, workspace, container);
    return deps.execs.connectClient(c.req.raw, {
      about: { workspace, container, requestId: c.get("requestId") },
      failing: `Cannot run the command in "${container}"`,
      want: (sql, now, exec) => insertExec(sql, now, { ...exec, container, workspace }),
    });
  };
}

function handlersOf(deps: ApiDeps): Handlers<Routes> {
  return {
    health: () => health(deps),
    ...appHandlers(deps),
    ...callHandlers(deps),
    ...nodeHandlers(deps),
    ...poolHandlers(deps),
    ...scalingHandlers(deps),
    ...scheduleHandlers(deps),
    ...secretHandlers(deps),
    ...valueHandlers(deps),
    ...volumeHandlers(deps),
    ...workspaceHandlers(deps),
    ...artifactHandlers(deps),
    ...imageHandlers(deps),
  };
}

/** 503 when the database is away: a load balancer should look elsewhere. */
async function health({ sql, clock, startedAt }: ApiDeps): Promise<Reply> {
  const database = await sql`select 1`.then(() => true, () => false);
  const uptime = formatDuration(clock.now() - startedAt);
  return new Reply({ ok: database, version: VERSION, database, uptime }, { status: database ? 200 : 503 });
}

/** The caller's own id when it has sent one that is fit for a log, else a new one. */
function requestIdOf(request: Request, deps: ApiDeps): string {
  const given = request.headers.get("x-request-id");
  return given !== null && /^[A-Za-z0-9_.-]{1,64}$/.test(given) ? given : newId("req", deps);
}

/** What may be done where, to tell those who try something else. */
const METHODS: readonly { readonly method: string; readonly path: string }[] = [
  ...Object.values(routes),
  { method: "PUT", path: STREAM_PATHS.bundle },
  { method: "GET", path: STREAM_PATHS.results },
  { method: "GET", path: ARTIFACT_CONTENT },
  { method: "GET", path: OPENAPI_PATH },
  { method: "GET", path: STREAM_PATHS.exec },
  { method: "GET", path: VOLUME_PATHS.files },
  { method: "POST", path: RUNNER_PATHS.join },
  { method: "POST", path: RUNNER_PATHS.sync },
  { method: "POST", path: RUNNER_PATHS.exchange },
  { method: "GET", path: RUNNER_PATHS.bundle },
  { method: "GET", path: RUNNER_PATHS.secrets },
  { method: "GET", path: RUNNER_PATHS.exec },
  { method: "POST", path: RUNNER_PATHS.build },
  { method: "GET", path: RUNNER_PATHS.buildCredential },
  { method: "GET", path: RUNNER_PATHS.registryCredential },
  { method: "GET", path: RUNNER_PATHS.checkpoints },
  { method: "POST", path: RUNNER_PATHS.checkpoints },
  { method: "POST", path: RUNNER_PATHS.uploads },
  { method: "GET", path: STREAM_PATHS.value },
  { method: "GET", path: STREAM_PATHS.blob },
  { method: "PUT", path: STREAM_PATHS.blob },
  { method: "POST", path: RUNNER_PATHS.artifactUploads },
  { method: "POST", path: RUNNER_PATHS.artifacts },
];
