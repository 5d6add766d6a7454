/**
 * Fork servers: processes of Python that have imported what containers share, and fork a guest for each of them, so that a start
 * does not pay for the imports. `guests/berth_guest/forks.py` is the other end.
 */
import { z } from "zod";
import { LineReader } from "../../sdk/lines.ts";
import { kill, killGroup } from "../../sdk/proc.ts";
import type { Channel, Child, Command, GuestExit, Spawn } from "../engine.ts";

/** A fork server that has connected. */
export interface Launched {
  readonly channel: Channel;
  discard(): void;
}

export interface ForkServersDeps {
  readonly spawn: Spawn;
  /** Starts a program that connects to its slot. */
  launch(command: (slot: string) => Command): Promise<Launched>;
}

/** What to fork: the command that a fresh start would run, and what is shared. */
export interface Fork {
  readonly command: Command;
  /** Starts of the same key share a server. */
  readonly key: string;
  /** The command of the server. */
  readonly server: (slot: string) => Command;
}

/** Servers kept at a time: each holds the memory of what it has imported. */
const SERVERS_MAX = 4;
/** Holds the pipes until the fork has taken them over, and is ended by it. */
const PIPE_HOLDER = { command: "sleep", args: ["60"] } as const;

const Answer = z.discriminatedUnion("t", [
  z.object({ t: z.literal("ready") }),
  z.object({ t: z.literal("refused"), message: z.string() }),
  z.object({ t: z.literal("forked"), n: z.number(), pid: z.number().int().min(2) }),
  z.object({ t: z.literal("exited"), n: z.number(), code: z.number(), signal: z.string().nullable() }),
]);
type Answer = z.infer<typeof Answer>;

export class ForkServers {
  readonly #deps: ForkServersDeps;
  /** By key, the one used last at the end. */
  readonly #servers = new Map<string, Promise<ForkServer>>();

  constructor(deps: ForkServersDeps) {
    this.#deps = deps;
  }

  /** Forks a process, or says in a sentence why that cannot be. */
  async fork({ command, key, server }: Fork): Promise<Child | string> {
    const starting = this.#servers.get(key) ?? ForkServer.start(this.#deps, server);
    this.#servers.delete(key);
    this.#servers.set(key, starting);
    try {
      const started = await starting;
      await this.#makeRoom();
      return started.refusal ?? await started.fork(command);
    } catch (error) {
      if (this.#servers.get(key) === starting) this.#servers.delete(key);
      return error instanceof Error ? error.message : String(error);
    }
  }

  async close(): Promise<void> {
    for (const starting of this.#servers.values()) await starting.then((server) => server.close(), () => {});
    this.#servers.clear();
  }

  /** Ends the servers that were used longest ago, of those whose guests have all ended. */
  async #makeRoom(): Promise<void> {
    for (const [key, starting] of this.#servers) {
      if (this.#servers.size <= SERVERS_MAX) return;
      const server = await starting.catch(() => null);
      if (server !== null && !server.idle) continue;
      this.#servers.delete(key);
      server?.close();
    }
  }
}

class ForkServer {
  readonly #spawn: Spawn;
  readonly #launched: Launched;
  readonly #forks = new Map<number, PromiseWithResolvers<number>>();
  readonly #exits = new Map<number, PromiseWithResolvers<GuestExit>>();
  readonly #pids = new Map<number, number>();
  readonly #first = Promise.withResolvers<Answer>();
  #last = 0;
  /** Why it may not fork, if it may not. */
  refusal: string | null = null;

  private constructor(spawn: Spawn, launched: Launched) {
    this.#spawn = spawn;
    this.#launched = launched;
    this.#first.promise.catch(() => {});
    this.#read().catch(() => {}).finally(() => this.#ended());
  }

  static async start({ spawn, launch }: ForkServersDeps, command: Fork["server"]): Promise<ForkServer> {
    const server = new ForkServer(spawn, await launch(command));
    const first = await server.#first.promise;
    if (first.t === "refused") server.refusal = first.message;
    return server;
  }

  get idle(): boolean {
    return this.#exits.size === 0;
  }

  async fork({ env, cwd }: Command): Promise<Child> {
    const n = ++this.#last;
    const exit = Promise.withResolvers<GuestExit>();
    const forked = Promise.withResolvers<number>();
    this.#forks.set(n, forked);
    this.#exits.set(n, exit);
    const holder = this.#spawn.start(PIPE_HOLDER);
    exit.promise.then(() => holder.kill());
    try {
      await this.#send({ t: "fork", n, env, cwd, stdio: holder.pid });
      const pid = await forked.promise;
      const { stdout, stderr } = holder;
      const ends = {
        exited: exit.promise,
        terminate: () => kill(pid, "SIGTERM"),
        kill: () => killGroup(pid),
      };
      return { pid, stdin: null, stdout, stderr, ...ends };
    } catch (error) {
      holder.kill();
      throw error;
    }
  }

  close(): void {
    this.#launched.discard();
  }

  async #send(frame: unknown): Promise<void> {
    const bytes = new TextEncoder().encode(`${JSON.stringify(frame)}\n`);
    for (let at = 0; at < bytes.length;) at += await this.#launched.channel.write(bytes.subarray(at));
  }

  async #read(): Promise<void> {
    const lines = new LineReader();
    const bytes = new Uint8Array(16 * 1024);
    const { channel } = this.#launched;
    for (let n = await channel.read(bytes); n !== null; n = await channel.read(bytes)) {
      const text = lines.push(bytes.subarray(0, n)) ?? "";
      for (const line of text.split("\n")) if (line !== "") this.#take(Answer.parse(JSON.parse(line)));
    }
  }

  #take(answer: Answer): void {
    if (answer.t === "forked") {
      this.#pids.set(answer.n, answer.pid);
      this.#forks.get(answer.n)?.resolve(answer.pid);
      this.#forks.delete(answer.n);
    } else if (answer.t === "exited") this.#over(answer.n, answer);
    else this.#first.resolve(answer);
  }

  #over(n: number, { code, signal }: GuestExit): void {
    this.#exits.get(n)?.resolve({ code, signal });
    this.#exits.delete(n);
    this.#pids.delete(n);
  }

  /** Nobody hears any more how its guests end: they end with it. */
  #ended(): void {
    const gone = new Error("the process that had imported it has ended");
    this.#first.reject(gone);
    for (const forked of this.#forks.values()) forked.reject(gone);
    for (const pid of this.#pids.values()) killGroup(pid);
    for (const n of [...this.#exits.keys()]) this.#over(n, { code: 137, signal: "SIGKILL" });
    this.#launched.discard();
  }
}
