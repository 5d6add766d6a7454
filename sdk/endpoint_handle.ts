/** What callers hold of an endpoint. Requests to it are ordinary HTTP, so there is little to hold. */
import { ambientClient, type Client } from "./client.ts";
import { type ContainerContext, containerContext } from "./context.ts";
import { declaredName, type EndpointDeclaration, type ServerDeclaration } from "./declaration.ts";
import { PlatformError } from "./errors.ts";
import { localOutlet, localSecrets } from "./local.ts";
import type { App } from "./protocol/apps.ts";
import { ask } from "./transport.ts";

/**
 * An endpoint of an app.
 *
 * @example
 * ```ts
 * import { App } from "berth";
 * import assert from "node:assert/strict";
 *
 * const app = new App("greetings");
 * export const hello = app.endpoint({ auth: "public" }, () => new Response("hello"));
 * const answer = await hello.local(new Request("http://localhost/"));
 * assert.equal(await answer.text(), "hello");
 * ```
 */
export class EndpointHandle {
  readonly #declaration: EndpointDeclaration | ServerDeclaration;

  constructor(declaration: EndpointDeclaration | ServerDeclaration) {
    this.#declaration = declaration;
  }

  /** Where it is deployed. */
  async url({ client = ambientClient() }: { client?: Client } = {}): Promise<string> {
    const { app } = this.#declaration;
    const name = declaredName(this.#declaration);
    const { endpoints } = await ask<App>(client.wire, {
      method: "GET",
      path: `/v1/apps/${encodeURIComponent(app.name)}`,
    });
    const found = endpoints.find((endpoint) => endpoint.name === name);
    if (found !== undefined) return found.url;
    throw new PlatformError(
      "not_found",
      `Cannot find endpoint "${name}" of app "${app.name}": it is not deployed`,
    );
  }

  /** Runs the handler in this process, without a platform. */
  async local(request: Request, ctx?: ContainerContext): Promise<Response> {
    const declaration = this.#declaration;
    if (declaration.kind === "server") {
      throw new TypeError(
        `Cannot run server "${declaredName(declaration)}" here: it is a program, start it by its command`,
      );
    }
    const { app, handler } = declaration;
    const name = declaredName(declaration) ?? "";
    const identity = { app: app.name, function: name, container: "local", secrets: localSecrets };
    const write = (line: string) => console.log(line);
    const local = ctx ?? containerContext(identity, { outlet: localOutlet, signal: request.signal, write });
    return await handler(request, local as never);
  }
}
