/**
 * The way to this node's containers for gateways on other machines: a port that takes connections from those who know its key, and
 * passes bytes on. What is said there is not encrypted: nodes and gateways belong on a network of their own.
 */
import { timingSafeEqual } from "node:crypto";
import type { Clock, Log, Random } from "../sdk/ports.ts";
import { parseLocalAddress } from "../sdk/container_address.ts";
import { close, splice } from "../sdk/connection.ts";
import { type Knock, parseKnock, readLine, WELCOME } from "../sdk/relay.ts";

export interface RelayDeps {
  /** 0 for any free one. */
  readonly port: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Where a container of this node listens; null when there is none that does. */
  readonly find: (container: string) => string | null;
}

const KEY_BYTES = 24;
/** A stranger who says nothing is not waited for. */
const KNOCK_MS = 5_000;
/** Connections that have not said yet what they want. */
const STRANGERS_MAX = 256;
/** Before the next try after a connection could not be taken: there may be too many files open. */
const PAUSE_MS = 100;

export class Relay {
  readonly port: number;
  readonly key: string;
  readonly #deps: RelayDeps;
  readonly #listener: Deno.TcpListener;
  readonly #connections = new Set<Deno.Conn>();
  readonly #closed = new AbortController();
  #strangers = 0;

  /** Listens at once, on all addresses of this machine. */
  constructor(deps: RelayDeps) {
    this.#deps = deps;
    this.key = deps.random.bytes(KEY_BYTES).toHex();
    this.#listener = Deno.listen({ hostname: "0.0.0.0", port: deps.port });
    this.port = this.#listener.addr.port;
    this.#accept();
  }

  /** Breaks off all that is under way. */
  close(): void {
    this.#closed.abort();
    close(this.#listener);
    for (const connection of this.#connections) close(connection);
  }

  async #accept(): Promise<void> {
    while (!this.#closed.signal.aborted) {
      try {
        this.#serve(await this.#listener.accept());
      } catch {
        await this.#deps.clock.sleep(PAUSE_MS, this.#closed.signal);
      }
    }
  }

  async #serve(connection: Deno.TcpConn): Promise<void> {
    this.#connections.add(connection);
    try {
      connection.setNoDelay();
      const address = await this.#addressFor(connection);
      if (address === null) return;
      const container = await Deno.connect(parseLocalAddress(address) as Deno.ConnectOptions);
      await splice(connection, container, WELCOME);
    } catch {
      // The container is not there any more, or whoever asked for it.
    } finally {
      this.#connections.delete(connection);
      close(connection);
    }
  }

  /** Where the container listens that it asks for; null when it may not have it, or there is none. */
  async #addressFor(connection: Deno.Conn): Promise<string | null> {
    const knock = this.#strangers < STRANGERS_MAX ? await this.#knock(connection) : null;
    if (knock !== null && this.#isOurs(knock)) return this.#deps.find(knock.container);
    this.#deps.log("relay.refused", { peer: peerOf(connection) });
    return null;
  }

  async #knock(connection: Deno.Conn): Promise<Knock | null> {
    const said = new AbortController();
    this.#deps.clock.sleep(KNOCK_MS, said.signal).then(() => said.signal.aborted || close(connection));
    this.#strangers++;
    try {
      return parseKnock(await readLine(connection) ?? "");
    } finally {
      this.#strangers--;
      said.abort();
    }
  }

  #isOurs({ key }: Knock): boolean {
    const [theirs, ours] = [key, this.key].map((text) => new TextEncoder().encode(text));
    return theirs!.length === ours!.length && timingSafeEqual(theirs!, ours!);
  }
}

const peerOf = ({ remoteAddr }: Deno.Conn): string | null =>
  remoteAddr.transport === "tcp" ? remoteAddr.hostname : null;
