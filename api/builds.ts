/** What runners say of the images that they build, and what they are given for it. */
import type { Context as HonoContext } from "hono";
import { reportBuild, secretOfBuild, secretOfContainerImage } from "../scheduler/store/builds.ts";
import type { SealedRow } from "../scheduler/store/secrets.ts";
import { PlatformError } from "../sdk/errors.ts";
import { BuildReport, LIMITS } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { parseObject, readText } from "./body.ts";
import { credentialIn } from "./secrets/registry.ts";
import type { Env } from "./serve.ts";

type Route = (c: HonoContext<Env>) => Promise<Response>;

/** `POST /v1/nodes/{node}/builds/{image}` */
export function reportBuildRoute({ sql, clock, auth, log, wakes }: ApiDeps): Route {
  return async (c) => {
    const { node, image } = c.req.param() as { node: string; image: string };
    await auth.node(c.req.header("authorization"), node);
    const text = await readText(c.req.raw, LIMITS.bodyBytes);
    const report = BuildReport.parse(parseObject(text, c.req.header("content-type")));
    const now = new Date(clock.now());
    const isKnown = await sql.begin((tx) => reportBuild(tx, now, { ...report, node, image }));
    if (!isKnown) {
      const message =
        `Cannot take the report: build ${report.attempt} of image "${image}" is not this node's, or over`;
      throw new PlatformError("conflict", message);
    }
    wakes.wake("image", image);
    if (report.end !== undefined) {
      wakes.wake("build");
      log("image.built", { image, node, attempt: report.attempt, ...report.end });
    }
    return c.json({});
  };
}

/** `GET /v1/nodes/{node}/builds/{image}/credential` */
export function buildCredentialRoute(deps: ApiDeps): Route {
  return async (c) => {
    const { node, image } = c.req.param() as { node: string; image: string };
    await deps.auth.node(c.req.header("authorization"), node);
    return credential(deps, await secretOfBuild(deps.sql, { node, image }), {
      of: `image "${image}": this node does not build it`,
      field: "image",
    });
  };
}

/** `GET /v1/nodes/{node}/containers/{container}/registry` */
export function registryCredentialRoute(deps: ApiDeps): Route {
  return async (c) => {
    const { node, container } = c.req.param() as { node: string; container: string };
    await deps.auth.node(c.req.header("authorization"), node);
    return credential(deps, await secretOfContainerImage(deps.sql, { node, container }), {
      of: `container "${container}": it does not run on this node`,
      field: "container",
    });
  };
}

function credential(
  { vault }: ApiDeps,
  secret: SealedRow | undefined,
  { of, field }: { readonly of: string; readonly field: string },
): Response {
  if (secret === undefined) {
    const message = `Cannot give a credential for ${of}, or the secret of its registry was deleted`;
    throw new PlatformError("not_found", message, { field });
  }
  const credential = credentialIn(vault.open(secret, secret), secret.name);
  return Response.json(credential, { headers: { "cache-control": "no-store" } });
}
