/**
 * Requests to containers: our own small HTTP/1.1 client on unix sockets. `fetch` would decompress what is only passed on, replace
 * the host, and take three times as long.
 */
import type { Clock } from "../../sdk/ports.ts";
import { Connection, type Dial } from "./connection.ts";
import { Exchange, type UpstreamRequest, type UpstreamResponse } from "./exchange.ts";
import { UpstreamError } from "./upstream_error.ts";

export interface Send {
  /** The client has gone: stop, and close the connection. */
  readonly signal: AbortSignal;
  /** When the response must have begun. */
  readonly until: number;
  /** Called once when a response that was returned is over: read to its end, cancelled or broken. */
  readonly ended: () => void;
}

export interface Upstream {
  /** Resolves when the head has come; rejects with an {@link UpstreamError}. */
  send(address: string, request: UpstreamRequest, more: Send): Promise<UpstreamResponse>;
  /** Lets go of idle connections to all other containers: they take no more requests. */
  keepTo(addresses: ReadonlySet<string>): void;
  /** Breaks off whatever is under way. */
  close(): void;
}

/** Idle connections kept per container. */
const IDLE_MAX = 64;
/** How often it is looked whether a response is overdue. One timer for all is cheaper than one for each. */
const SWEEP_MS = 500;

export class HttpUpstream implements Upstream {
  readonly #clock: Clock;
  readonly #dial: Dial;
  readonly #idle = new Map<string, Connection[]>();
  readonly #exchanges = new Set<Exchange>();
  readonly #closed = new AbortController();
  /** Where connections may rest; null: anywhere. */
  #kept: ReadonlySet<string> | null = null;
  #sweeping = false;

  constructor({ clock, dial }: { clock: Clock; dial: Dial }) {
    this.#clock = clock;
    this.#dial = dial;
  }

  async send(
    address: string,
    request: UpstreamRequest,
    { signal, until, ended }: Send,
  ): Promise<UpstreamResponse> {
    const connection = this.#take(address) ?? await this.#connect(address);
    if (signal.aborted || this.#closed.signal.aborted) {
      this.#put(address, connection);
      throw new UpstreamError("aborted", { repeatable: false });
    }
    const exchange = new Exchange({ connection, request, signal, until });
    this.#exchanges.add(exchange);
    this.#sweep();
    exchange.onEnd = (reusable) => {
      this.#exchanges.delete(exchange);
      if (reusable) this.#put(address, connection);
      else connection.close();
      if (exchange.answered) ended();
    };
    return await exchange.run();
  }

  keepTo(addresses: ReadonlySet<string>): void {
    this.#kept = addresses;
    for (const [address, connections] of this.#idle) {
      if (addresses.has(address)) continue;
      this.#idle.delete(address);
      for (const connection of connections) connection.close();
    }
  }

  close(): void {
    this.#closed.abort();
    for (const exchange of [...this.#exchanges]) exchange.fail("aborted");
    for (const connection of [...this.#idle.values()].flat()) connection.close();
    this.#idle.clear();
  }

  /** The one used last: the others may then grow old and be closed by the other side. */
  #take(address: string): Connection | undefined {
    const connections = this.#idle.get(address);
    const connection = connections?.pop();
    if (connections?.length === 0) this.#idle.delete(address);
    connection?.wake();
    return connection;
  }

  async #connect(address: string): Promise<Connection> {
    try {
      return new Connection(await this.#dial(address));
    } catch (cause) {
      throw new UpstreamError("unreachable", { repeatable: true, cause });
    }
  }

  #put(address: string, connection: Connection): void {
    const connections = this.#idle.get(address) ?? [];
    const stays = this.#kept?.has(address) ?? true;
    if (!stays || connections.length >= IDLE_MAX || this.#closed.signal.aborted) return connection.close();
    connections.push(connection);
    this.#idle.set(address, connections);
    connection.rest(() => this.#forget(address, connection));
  }

  #forget(address: string, connection: Connection): void {
    const left = this.#idle.get(address)?.filter((other) => other !== connection) ?? [];
    if (left.length === 0) this.#idle.delete(address);
    else this.#idle.set(address, left);
    connection.close();
  }

  async #sweep(): Promise<void> {
    if (this.#sweeping) return;
    this.#sweeping = true;
    while (this.#exchanges.size > 0) {
      await this.#clock.sleep(SWEEP_MS, this.#closed.signal);
      for (const exchange of [...this.#exchanges]) exchange.check(this.#clock.now());
    }
    this.#sweeping = false;
  }
}
