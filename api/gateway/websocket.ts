/** WebSockets: one from the client, one to the container, and messages passed between them as they are. */
import { PlatformError } from "../../sdk/errors.ts";
import { passageTo } from "./passage.ts";
import { UpstreamError } from "./upstream_error.ts";

/** Whether a request asks for a WebSocket in the way that the server can grant. */
export const isWebSocket = ({ method, headers }: Request): boolean =>
  method === "GET" && headers.get("upgrade")?.toLowerCase() === "websocket" &&
  headers.has("sec-websocket-key");

export interface BridgeOptions {
  /** Of the container. */
  readonly address: string;
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Ends the connection. */
  readonly closed: AbortSignal;
  /** Called once when it has ended, if there was one. */
  readonly ended: () => void;
}

/** A side that is this far behind is cut off: sockets of this kind can't be told to wait. */
const BEHIND_MAX = 16 * 1024 * 1024;

/** Connects to the container first, so that the client is accepted only when the container accepts. */
export async function bridge(
  request: Request,
  { address, url, headers, closed, ended }: BridgeOptions,
): Promise<Response> {
  const passage = await passageTo(address);
  const client = Deno.createHttpClient({ proxy: passage.proxy });
  const inner = new WebSocket(url, {
    client,
    protocols: listed(request.headers.get("sec-websocket-protocol")),
    headers: headers.filter(([name]) => !name.startsWith("sec-websocket-")).map((
      [name, value],
    ) => [name, value]),
  });
  const end = () => shut(inner);
  closed.addEventListener("abort", end);
  inner.addEventListener("close", () => {
    closed.removeEventListener("abort", end);
    client.close();
    passage.close();
  });
  const early = kept(inner);
  request.signal.addEventListener("abort", end);
  await opened(inner);
  request.signal.removeEventListener("abort", end); // it may also tell that the request went well
  inner.addEventListener("close", ended);
  try {
    const accepted = inner.protocol === "" ? {} : { protocol: inner.protocol };
    const { socket: outer, response } = Deno.upgradeWebSocket(request, accepted);
    join(outer, inner, early);
    return response;
  } catch (cause) {
    end();
    throw new PlatformError("invalid_request", `Cannot open a WebSocket: ${(cause as Error).message}`, {
      cause,
    });
  }
}

const listed = (header: string | null): string[] => header?.split(",").map((name) => name.trim()) ?? [];

/** What a socket says before anybody listens. */
function kept(socket: WebSocket): Data[] {
  const said: Data[] = [];
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => said.push(data);
  return said;
}

type Data = string | ArrayBuffer;

function opened(socket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = (event) => {
      reject(new UpstreamError("refused", { repeatable: false, cause: (event as ErrorEvent).error }));
    };
  });
}

function join(outer: WebSocket, inner: WebSocket, early: readonly Data[]): void {
  outer.binaryType = "arraybuffer";
  outer.onopen = () => {
    for (const data of early) outer.send(data);
    inner.onmessage = ({ data }) => pass(data, inner, outer);
  };
  outer.onmessage = ({ data }) => pass(data, outer, inner);
  outer.onclose = ({ code, reason }) => shut(inner, code, reason);
  inner.onclose = ({ code, reason }) => shut(outer, code, reason);
  // A close follows.
  outer.onerror = inner.onerror = () => {};
}

function pass(data: Data, from: WebSocket, to: WebSocket): void {
  if (to.readyState !== WebSocket.OPEN) return;
  if (to.bufferedAmount > BEHIND_MAX) {
    shut(from, 4_009, "the other side is too slow");
    return shut(to);
  }
  to.send(data);
}

/** Codes below 3000 but 1000 are for protocols to say, not for programs. */
function shut(socket: WebSocket, code = 1_000, reason = ""): void {
  if (code === 1_000 || code >= 3_000) socket.close(code, reason);
  else socket.close();
}
