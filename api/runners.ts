/** The routes of runners, all with the node's own credential: their two verbs, bundles, checkpoints, and their calls' calls. */
import type { Context as HonoContext, Hono } from "hono";
import { JoinNode, LIMITS, RUNNER_PATHS, SyncRequest } from "../sdk/protocol.ts";
import { workspaceOfContainer } from "../scheduler/store/containers_list.ts";
import { PlatformError } from "../sdk/errors.ts";
import type { ApiDeps } from "./app.ts";
import { beginCallArtifactRoute, publishCallArtifactRoute } from "./artifact_bytes.ts";
import { buildCredentialRoute, registryCredentialRoute, reportBuildRoute } from "./builds.ts";
import { parseObject, readText } from "./body.ts";
import { getBundleRoute } from "./bundles.ts";
import { beginCheckpointRoute, commitCheckpointRoute, getCheckpointRoute } from "./checkpoints.ts";
import { parseExchange } from "./exchange_request.ts";
import { join } from "./join.ts";
import { getSecretsRoute } from "./secrets/delivery.ts";
import type { Env } from "./serve.ts";

/** Mounts what runners use. */
export function serveRunners(app: Hono<Env>, deps: ApiDeps): void {
  const { auth, syncs, exchanges, execs, closing } = deps;
  const mayWait = (c: HonoContext<Env>) => AbortSignal.any([c.req.raw.signal, closing]);

  app.post(RUNNER_PATHS.join, async (c) => c.json(await join(deps, JoinNode.parse(await bodyOf(c)))));

  app.post(RUNNER_PATHS.sync, async (c) => {
    const node = c.req.param("node");
    await auth.node(c.req.header("authorization"), node);
    const request = SyncRequest.parse({ ...await bodyOf(c), node });
    return c.json(await syncs.sync(node, request, mayWait(c)));
  });

  app.post(RUNNER_PATHS.exchange, async (c) => {
    const node = c.req.param("node");
    await auth.node(c.req.header("authorization"), node);
    const request = parseExchange({ ...await bodyOf(c), node });
    const reply = await exchanges.exchange(node, request, mayWait(c));
    return c.body(reply, 200, { "content-type": "application/json" });
  });

  app.get(RUNNER_PATHS.exec, async (c) => {
    const { node, exec } = c.req.param();
    await auth.node(c.req.header("authorization"), node);
    return execs.connectRunner(c.req.raw, { node, exec });
  });

  app.post(RUNNER_PATHS.build, reportBuildRoute(deps));
  app.get(RUNNER_PATHS.buildCredential, buildCredentialRoute(deps));
  app.get(RUNNER_PATHS.registryCredential, registryCredentialRoute(deps));
  app.get(RUNNER_PATHS.bundle, getBundleRoute(deps));
  app.get(RUNNER_PATHS.secrets, getSecretsRoute(deps));
  app.post(RUNNER_PATHS.uploads, beginCheckpointRoute(deps));
  app.post(RUNNER_PATHS.checkpoints, commitCheckpointRoute(deps));
  app.get(RUNNER_PATHS.checkpoints, getCheckpointRoute(deps));
  app.post(RUNNER_PATHS.artifactUploads, beginCallArtifactRoute(deps));
  app.post(RUNNER_PATHS.artifacts, publishCallArtifactRoute(deps));
  app.all(`${RUNNER_PATHS.actAs}/*`, (c) => actAs(app, deps, c));
}

/** What a function may ask for: calls, batches, apps, artifacts and values of its own workspace. */
const ACT_AS_PATHS = /^\/v1\/(calls|batches|apps|artifacts|values)(\/|$)/;

/** Answers a request that a function made over its guest's socket, for the workspace of its container, with scope `invoke`. */
async function actAs(app: Hono<Env>, { sql, auth, ownUrl }: ApiDeps, c: HonoContext<Env>): Promise<Response> {
  const { node, container } = c.req.param() as { node: string; container: string };
  await auth.node(c.req.header("authorization"), node);
  const workspace = await workspaceOfContainer(sql, { container, node });
  if (workspace === undefined) {
    const message = `Cannot act for container "${container}": it does not run on this node`;
    throw new PlatformError("not_found", message, { field: "container" });
  }
  const { pathname, search } = new URL(c.req.url);
  const path = `/${pathname.split("/").slice(6).join("/")}`;
  if (!ACT_AS_PATHS.test(path)) {
    throw new PlatformError(
      "forbidden",
      `Cannot ask for ${path} from inside a function: only calls, batches, apps, artifacts and values`,
    );
  }
  const headers = new Headers(c.req.raw.headers);
  headers.delete("authorization");
  headers.set("x-request-id", c.get("requestId"));
  const { method, body, signal } = c.req.raw;
  const request = new Request(ownUrl() + path + search, { method, headers, body, signal });
  return await app.fetch(request, { caller: { workspace, scope: "invoke" } });
}

const bodyOf = async (c: HonoContext<Env>): Promise<Record<string, unknown>> =>
  parseObject(await readText(c.req.raw, LIMITS.bodyBytes), c.req.header("content-type"));
