/**
 * Commands inside containers, and transfers of volumes: a client's WebSocket joined with that of the container's runner. A runner can only be asked, by way of
 * its sync, to connect; so the client waits here until it has. The two speak with each other (see sdk/protocol/exec.ts), and what
 * they say is passed on as it is, but for the first message.
 */
import { deleteExec } from "../scheduler/store/execs.ts";
import type { Pool, Sql } from "../scheduler/store/connect.ts";
import type { Wakes } from "../scheduler/wakes.ts";
import { PlatformError } from "../sdk/errors.ts";
import { parseSaid } from "../sdk/exec_channel.ts";
import { type Clock, type Log, newId, type Random } from "../sdk/ports.ts";
import { type ExecCommand, type ExecSaid, LIMITS } from "../sdk/protocol.ts";

export interface ExecsDeps {
  readonly sql: Pool;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly wakes: Wakes;
  /** Ends all. */
  readonly closing: AbortSignal;
}

/** Who asks for a command, and of what. */
export interface ExecClient {
  /** For the log: whose, of what, in which request. */
  readonly about: Readonly<Record<string, string>>;
  /** Begins a sentence on why it does not come to that: `Cannot run the command in "ctr_1"`. */
  readonly failing: string;
  /** Wants it, in a transaction; the node whose runner is to connect, or why none can. */
  want(sql: Sql, now: Date, exec: ExecCommand & { readonly id: string }): Promise<Wanted>;
}

export type Wanted = { readonly node: string } | { readonly refused: string };

type Data = string | ArrayBuffer;

/** A client that waits for the runner. */
interface Waiting {
  readonly node: string;
  /** The runner has connected. */
  meet(runner: WebSocket): void;
}

/** How long a client may take to close, when it has been told why. */
const CLOSING_MS = 5_000;
/** A side that is this far behind, where the window allows a tenth of it, does not keep to the rules. */
const BEHIND_BYTES_MAX = 16 * LIMITS.execWindowBytes;

export class Execs {
  readonly #deps: ExecsDeps;
  readonly #waiting = new Map<string, Waiting>();

  constructor(deps: ExecsDeps) {
    this.#deps = deps;
  }

  /** Answers the client's request; what it wants comes with its first message. */
  connectClient(request: Request, client: ExecClient): Response {
    const { socket, response } = upgrade(request);
    new Meeting(this.#deps, socket, client, this.#waiting);
    return response;
  }

  /** Answers the runner's, which was asked to come. */
  connectRunner(request: Request, { node, exec }: { node: string; exec: string }): Response {
    const waiting = this.#waiting.get(exec);
    if (waiting === undefined || waiting.node !== node) {
      const message = `Cannot connect to exec "${exec}": its client is not here, ask again or elsewhere`;
      throw new PlatformError("not_found", message, { field: "exec" });
    }
    const { socket, response } = upgrade(request);
    this.#waiting.delete(exec);
    waiting.meet(socket);
    return response;
  }
}

function upgrade(request: Request): { socket: WebSocket; response: Response } {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    throw new PlatformError("invalid_request", "Cannot run a command: this path is for WebSockets only");
  }
  const upgraded = Deno.upgradeWebSocket(request);
  upgraded.socket.binaryType = "arraybuffer";
  return upgraded;
}

/** One command from the client's connection to the end of both. */
class Meeting {
  readonly #deps: ExecsDeps;
  readonly #client: WebSocket;
  readonly #of: ExecClient;
  readonly #waiting: Map<string, Waiting>;
  readonly #id: string;
  readonly #over = new AbortController();
  readonly #late = new AbortController();
  /** The client has gone. */
  readonly #left = new AbortController();
  #runner: WebSocket | null = null;
  /** What the client said before the runner was there. */
  #held: Data[] = [];
  #heldBytes = 0;
  #opened = false;

  constructor(deps: ExecsDeps, client: WebSocket, of: ExecClient, waiting: Map<string, Waiting>) {
    this.#deps = deps;
    this.#client = client;
    this.#of = of;
    this.#waiting = waiting;
    this.#id = newId("exec", deps);
    client.onmessage = ({ data }) => this.#fromClient(data);
    client.onclose = client.onerror = () => {
      this.#left.abort();
      this.#end();
    };
    deps.closing.addEventListener("abort", this.#close);
    this.#endAfter(LIMITS.execSeconds, this.#over.signal, "it has run for as long as it may");
    this.#endAfter(LIMITS.execDialSeconds, this.#late.signal, "the runner of its node did not connect");
  }

  readonly #close = (): void => this.#fail("the platform closes");

  async #endAfter(seconds: number, over: AbortSignal, why: string): Promise<void> {
    await this.#deps.clock.sleep(seconds * 1_000, over);
    if (!over.aborted) this.#fail(why);
  }

  #fromClient(data: Data): void {
    if (!this.#opened) return void this.#open(data);
    if (this.#runner?.readyState === WebSocket.OPEN) return this.#pass(data, this.#runner);
    this.#heldBytes += typeof data === "string" ? data.length : data.byteLength;
    if (this.#heldBytes > BEHIND_BYTES_MAX) return this.#fail("more was sent than may be under way");
    this.#held.push(data);
  }

  async #open(data: Data): Promise<void> {
    this.#opened = true;
    const said = typeof data === "string" ? parseSaid(data) : null;
    if (said?.t !== "open") return this.#fail("the first message must be `open` with a command");
    const { sql, clock, log, wakes } = this.#deps;
    const { t: _, ...command } = said, { want, about } = this.#of;
    try {
      const now = new Date(clock.now());
      const found = await sql.begin((tx) => want(tx, now, { id: this.#id, ...command })) as Wanted;
      if ("refused" in found) return this.#fail(found.refused);
      const { command: line, tty } = said;
      log("exec.opened", { exec: this.#id, ...about, ...found, command: line, tty: tty !== undefined });
      this.#over.signal.addEventListener("abort", () => this.#forget(found.node));
      if (this.#over.signal.aborted) return this.#forget(found.node);
      this.#waiting.set(this.#id, { node: found.node, meet: (runner) => this.#meet(runner) });
      wakes.wake("node", found.node);
    } catch (error) {
      log("exec.failed", { exec: this.#id, message: String(error) });
      this.#fail("the platform could not note it, try again");
    }
  }

  #meet(runner: WebSocket): void {
    this.#runner = runner;
    this.#late.abort();
    runner.onopen = () => {
      for (const data of this.#held.splice(0)) this.#pass(data, runner);
    };
    runner.onmessage = ({ data }) => this.#pass(data, this.#client);
    runner.onclose = runner.onerror = () => this.#fail("its runner is gone, or its container has ended");
  }

  #pass(data: Data, to: WebSocket): void {
    if (to.readyState !== WebSocket.OPEN) return;
    if (to.bufferedAmount > BEHIND_BYTES_MAX) return this.#fail("more was sent than may be under way");
    to.send(data);
  }

  #fail(why: string): void {
    if (this.#over.signal.aborted) return;
    const said: ExecSaid = { t: "error", message: `${this.#of.failing}: ${why}` };
    if (this.#client.readyState === WebSocket.OPEN) this.#client.send(JSON.stringify(said));
    this.#end();
  }

  #end(): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    this.#late.abort();
    this.#deps.closing.removeEventListener("abort", this.#close);
    this.#waiting.delete(this.#id);
    this.#runner?.close();
    this.#closeClient();
  }

  /** It closes by itself when it has heard the last word, which it would lose if we closed first. */
  async #closeClient(): Promise<void> {
    await this.#deps.clock.sleep(CLOSING_MS, this.#left.signal);
    this.#client.close();
  }

  /** The runner need not hear of it any more; should this be lost, it expires. */
  async #forget(node: string): Promise<void> {
    const { sql, clock, log, wakes } = this.#deps;
    log("exec.closed", { exec: this.#id, ...this.#of.about });
    await deleteExec(sql, new Date(clock.now()), this.#id).catch(() => {});
    wakes.wake("node", node);
  }
}
