/** The guest's HTTP side: requests to endpoints, as the gateway passes them on. */
import type { ContainerContext } from "../../sdk/context.ts";
import type { Respond } from "../../sdk/invoke.ts";
import { describeError } from "./outcome.ts";

/** Names the endpoint. */
const ENDPOINT_HEADER = "berth-endpoint";
/** The URL that the client asked for. */
const URL_HEADER = "berth-url";

export class Endpoints {
  #handlers: ReadonlyMap<string, Respond> = new Map();
  #contextOf: ((signal: AbortSignal) => ContainerContext) | undefined;

  /** From now on these are served. */
  open(handlers: ReadonlyMap<string, Respond>, contextOf: (signal: AbortSignal) => ContainerContext): void {
    this.#handlers = handlers;
    this.#contextOf = contextOf;
  }

  readonly answer = async (request: Request): Promise<Response> => {
    const name = request.headers.get(ENDPOINT_HEADER) ?? "";
    const respond = this.#handlers.get(name);
    if (respond === undefined) {
      return problem(request, 404, "not_found", `Cannot find endpoint "${name}" in this container`);
    }
    try {
      const response = await respond(originalOf(request), this.#contextOf!(request.signal));
      if (response instanceof Response) return response;
      return problem(
        request,
        500,
        "internal",
        `Endpoint "${name}" failed: it must return a Response, not ${typeOf(response)}`,
      );
    } catch (error) {
      const { message, stack } = describeError(error);
      console.error(`Endpoint "${name}" failed: ${stack || message}`);
      return problem(request, 500, "internal", `Endpoint "${name}" failed; the container's log says why`);
    }
  };
}

/** The request with the URL that the client asked for. A copy would lose what Deno hangs on the original: upgrades. */
function originalOf(request: Request): Request {
  const url = request.headers.get(URL_HEADER);
  return url === null ? request : Object.defineProperty(request, "url", { value: url });
}

function problem(request: Request, status: number, code: string, message: string): Response {
  const requestId = request.headers.get("x-request-id") ?? "";
  return Response.json({ error: { code, message, requestId } }, { status });
}

function typeOf(value: unknown): string {
  return value === null ? "null" : typeof value;
}
