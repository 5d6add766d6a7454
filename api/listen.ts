/** Where the api listens: a TCP port for everybody, and a unix socket for the runner of the same machine. */
import type { Log } from "../sdk/ports.ts";
import type { Answer } from "./app.ts";

export interface ListenOptions {
  readonly hostname: string;
  /** 0 for any free one. */
  readonly port: number;
  readonly unixSocket?: string | undefined;
  readonly log: Log;
}

export interface Listening {
  /** How this machine reaches it. */
  readonly url: string;
  /** Takes no more requests; resolves when those under way are answered. */
  shutdown(): Promise<void>;
}

export async function listen(answer: Answer, { hostname, port, unixSocket, log }: ListenOptions): Promise<Listening> {
  const onError = (error: unknown) => {
    log("api.broken", { message: String(error), stack: (error as Error).stack });
    return new Response("Internal error\n", { status: 500 });
  };
  const quiet = { onListen: () => {}, onError };
  const tcp = Deno.serve({ ...quiet, hostname, port }, (request, info) => answer(request, info.remoteAddr.hostname));
  const servers: { shutdown(): Promise<void> }[] = [tcp];
  if (unixSocket !== undefined) {
    await removeLeftover(unixSocket);
    servers.push(Deno.serve({ ...quiet, path: unixSocket }, (request) => answer(request, null)));
  }
  return {
    url: `http://${reachable(hostname)}:${tcp.addr.port}`,
    shutdown: async () => {
      await Promise.all(servers.map((server) => server.shutdown()));
    },
  };
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
