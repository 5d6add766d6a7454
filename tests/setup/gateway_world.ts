/** A gateway behind a real server, and containers that are servers on unix sockets. */
import { join } from "node:path";
import { answerError } from "../../api/errors.ts";
import type { Caller } from "../../api/auth.ts";
import type { Dial } from "../../api/gateway/connection.ts";
import { dialContainer } from "../../api/gateway/dial.ts";
import { createGateway, type Gateway } from "../../api/gateway/gateway.ts";
import {
  type EndpointRoute,
  type FunctionRoute,
  type RouteContainer,
  routeTable,
} from "../../api/gateway/routes.ts";
import { HttpUpstream } from "../../api/gateway/upstream.ts";
import type { DemandRow } from "../../scheduler/store/demand.ts";
import { LocalWakes } from "../../scheduler/wakes.ts";
import { PlatformError } from "../../sdk/errors.ts";
import { realClock, realRandom, silentLog } from "../../sdk/ports.ts";

export const KEYS: Readonly<Record<string, Caller>> = {
  berth_invoke: { workspace: "default", scope: "invoke" },
  berth_read: { workspace: "default", scope: "read" },
  berth_other: { workspace: "other", scope: "admin" },
};

export interface WorldOptions {
  readonly function?: Partial<FunctionRoute>;
  readonly dial?: Dial;
  readonly waitingReason?: () => Promise<string | null>;
}

export class GatewayWorld {
  /** What the store would say; see {@link publish}. */
  routes: EndpointRoute[] = [];
  readonly reported: DemandRow[] = [];
  ticks = 0;
  readonly wakes = new LocalWakes();
  readonly gateway: Gateway;
  readonly #dir: string;
  readonly #stack = new AsyncDisposableStack();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #function: FunctionRoute;
  #containers = 0;

  private constructor(dir: string, options: WorldOptions) {
    this.#dir = dir;
    this.#function = {
      id: 1,
      name: "fn",
      concurrency: 8,
      startTimeoutMs: 10_000,
      timeoutMs: 30_000,
      mounted: false,
      containers: [],
      ...options.function,
    };
    this.wakes.on("tick", "*", () => this.ticks++);
    this.gateway = createGateway({
      clock: realClock,
      random: realRandom,
      log: silentLog,
      wakes: this.wakes,
      upstream: new HttpUpstream({ clock: realClock, dial: options.dial ?? dialContainer }),
      loadRoutes: () => Promise.resolve(routeTable(this.routes)),
      reportDemand: (rows) => Promise.resolve(void this.reported.push(...rows)),
      waitingReason: options.waitingReason ??
        (() => Promise.resolve("needs 2 × H100; largest free node has 1")),
      authenticate: (request) => Promise.resolve(callerOf(request)),
      publicWorkspace: "default",
    });
    let count = 0;
    this.#server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen() {} },
      (request, { remoteAddr }) => {
        const requestId = `req_${++count}`;
        const peer = (remoteAddr as Deno.NetAddr).hostname;
        return this.gateway.handle(request, { requestId, peer })
          .catch((error) => answerError(error, requestId, silentLog));
      },
    );
  }

  /** With one public endpoint `web` of app `demo`, and `key`, which needs a key, both of one function without containers. */
  static async start(options: WorldOptions = {}): Promise<GatewayWorld> {
    const world = new GatewayWorld(await Deno.makeTempDir({ prefix: "berth-gw-" }), options);
    world.publish([]);
    await world.gateway.start();
    return world;
  }

  get address(): { hostname: string; port: number } {
    return this.#server.addr;
  }

  url(path: string): string {
    return `http://127.0.0.1:${this.#server.addr.port}${path}`;
  }

  fetch(path: string, init?: RequestInit): Promise<Response> {
    return fetch(this.url(path), init);
  }

  /** Sends these bytes and returns a connection that reads text. */
  async raw(text: string): Promise<RawClient> {
    const connection = await Deno.connect(this.address);
    await connection.write(new TextEncoder().encode(text));
    return new RawClient(connection);
  }

  /** These containers take requests from now on. */
  publish(containers: readonly RouteContainer[]): void {
    const route = { workspace: "default", app: "demo", function: { ...this.#function, containers } };
    this.routes = [
      { ...route, endpoint: "web", auth: "public" },
      { ...route, endpoint: "key", auth: "key" },
    ];
    this.wakes.wake("routes");
  }

  /** A container that answers with `handler`. */
  serve(handler: Deno.ServeHandler<Deno.UnixAddr>): RouteContainer {
    const container = this.name();
    const server = Deno.serve({
      path: container.address,
      onListen() {},
      onError: () => new Response("threw", { status: 500 }),
    }, handler);
    this.#stack.defer(() => server.shutdown());
    return container;
  }

  /** A container that does with each connection what `talk` does, and then closes it. */
  listen(talk: (connection: Deno.Conn, n: number) => Promise<void>): RouteContainer {
    const container = this.name();
    const listener = Deno.listen({ transport: "unix", path: container.address });
    this.#stack.defer(() => listener.close());
    const accept = async () => {
      let n = 0;
      for await (const connection of listener) {
        talk(connection, n++).catch(() => {}).finally(() => close(connection));
      }
    };
    accept().catch(() => {});
    return container;
  }

  /** An address where nobody listens. */
  name(): RouteContainer {
    const id = `ctr_${this.#containers++}`;
    return { id, address: join(this.#dir, `${id}.sock`) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway.drain(0);
    await this.#server.shutdown();
    await this.#stack.disposeAsync();
    await Deno.remove(this.#dir, { recursive: true });
  }
}

/** Reads a whole request head (of a request without body) from a connection. */
export async function readRequest(connection: Deno.Conn): Promise<string> {
  const client = new RawClient(connection);
  return await client.until("\r\n\r\n");
}

export const write = (connection: Deno.Conn, text: string): Promise<number> =>
  connection.write(new TextEncoder().encode(text));

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // it was closed
  }
}

/** A connection that reads text. */
export class RawClient {
  #seen = "";

  constructor(readonly connection: Deno.Conn) {}

  /** All that came until `text` had come. */
  async until(text: string): Promise<string> {
    while (!this.#seen.includes(text)) {
      const more = await this.#read();
      if (more === null) throw new Error(`The connection ended after ${JSON.stringify(this.#seen)}`);
      this.#seen += more;
    }
    return this.#seen;
  }

  /** All that comes until the end. */
  async rest(): Promise<string> {
    for (let more = await this.#read(); more !== null; more = await this.#read()) this.#seen += more;
    return this.#seen;
  }

  async #read(): Promise<string | null> {
    const buffer = new Uint8Array(65_536);
    const n = await this.connection.read(buffer);
    return n === null ? null : new TextDecoder().decode(buffer.subarray(0, n));
  }

  [Symbol.dispose](): void {
    close(this.connection);
  }
}

function callerOf(request: Request): Caller {
  const key = request.headers.get("authorization")?.slice("Bearer ".length) ?? "";
  const caller = KEYS[key];
  if (caller === undefined) throw new PlatformError("unauthorized", "Cannot accept the key: it is unknown");
  return caller;
}
