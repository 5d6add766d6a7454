/** Where the api listens: a TCP port for everybody, and a unix socket for the runner of the same machine. */
import type { Log } from "../sdk/ports.ts";
import type { Answer } from "./app.ts";

export interface ListenOptions {
  /** @default "127.0.0.1" */
  readonly hostname?: string;
  /** @default 0, any free one */
  readonly port?: number;
  readonly unixSocket?: string | undefined;
  readonly log: Log;
}

export interface Listening {
  /** How this machine reaches it. */
  readonly url: string;
  /** Takes no more requests; resolves when those under way are answered. */
  shutdown(): Promise<void>;
}

export async function listen(
  answer: Answer,
  { hostname = "127.0.0.1", port = 0, unixSocket, log }: ListenOptions,
): Promise<Listening> {
  const onError = (error: unknown) => {
    log("api.broken", { message: String(error), stack: (error as Error).stack });
    return new Response("Internal error\n", { status: 500 });
  };
  const quiet = { onListen: () => {}, onError };
  // First the port: when another process has it, its socket is not to be touched.
  const tcp = Deno.serve(
    { ...quiet, hostname, port },
    (request, info) => answer(request, info.remoteAddr.hostname),
  );
  const servers: { shutdown(): Promise<void> }[] = [tcp];
  const shutdown = async () => void await Promise.all(servers.map((server) => server.shutdown()));
  try {
    if (unixSocket !== undefined) {
      await removeLeftover(unixSocket);
      servers.push(Deno.serve({ ...quiet, path: unixSocket }, (request) => answer(request, null)));
    }
  } catch (error) {
    await shutdown();
    throw error;
  }
  return { url: `http://${reachable(hostname)}:${tcp.addr.port}`, shutdown };
}

/** A socket file outlives the process that was killed. */
async function removeLeftover(path: string): Promise<void> {
  await Deno.remove(path).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

/** An address that one can connect to, for one that one can listen on. */
function reachable(hostname: string): string {
  if (hostname === "0.0.0.0" || hostname === "::") return "127.0.0.1";
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}
