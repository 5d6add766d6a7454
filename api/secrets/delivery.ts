/** `GET /v1/nodes/{node}/containers/{container}/secrets`: what a live container is given, for the runner of its node and nobody else. */
import type { Context as HonoContext } from "hono";
import { grantSecrets } from "../../scheduler/store/secrets.ts";
import { PlatformError } from "../../sdk/errors.ts";
import type { DeliveredSecret } from "../../sdk/protocol.ts";
import type { ApiDeps } from "../app.ts";
import type { Env } from "../serve.ts";

export function getSecretsRoute(
  { sql, auth, vault }: ApiDeps,
): (c: HonoContext<Env>) => Promise<Response> {
  return async (c) => {
    const { node, container } = c.req.param() as { node: string; container: string };
    await auth.node(c.req.header("authorization"), node);
    const grants = await grantSecrets(sql, { node, container });
    if (grants === undefined) {
      const message = `Cannot give secrets to container "${container}": it does not run on this node`;
      throw new PlatformError("not_found", message, { field: "container" });
    }
    const secrets = grants.map(({ ref, row }): DeliveredSecret => {
      if (row === null) throw deleted(ref.name);
      return { ...ref, values: { ...vault.open(row, row) } };
    });
    return Response.json({ secrets }, { headers: { "cache-control": "no-store" } });
  };
}

const deleted = (name: string): PlatformError =>
  new PlatformError(
    "conflict",
    `Cannot start without secret "${name}": it was deleted, set it again or deploy without it`,
    { field: "container" },
  );
