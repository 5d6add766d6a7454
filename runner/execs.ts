/** Commands that somebody runs inside containers of this node, or on its volumes: fetched from the api, which cannot reach us, and run beside the guests. */
import { ExecChannel } from "../sdk/exec_channel.ts";
import type { Clock, Log } from "../sdk/ports.ts";
import { type ExecCommand, LIMITS, type WantedExec } from "../sdk/protocol.ts";
import { backoffMs, type NodeApi } from "./api.ts";
import type { Exec } from "./engine.ts";
import type { SessionVolumes } from "./volumes.ts";

/** What is needed of a container. */
interface Host {
  exec(command: ExecCommand): Promise<Exec>;
}

export interface ExecsDeps {
  readonly api: Pick<NodeApi, "connectExec">;
  readonly clock: Clock;
  readonly log: Log;
  /** The container of this id, or what is kept of it. */
  readonly host: (container: string) => Host | undefined;
  readonly volumes: Pick<SessionVolumes, "exec">;
  /** Ends all. */
  readonly over: AbortSignal;
}

export class Execs {
  readonly #deps: ExecsDeps;
  /** Those that were begun, while they are wanted. */
  readonly #begun = new Set<string>();

  constructor(deps: ExecsDeps) {
    this.#deps = deps;
  }

  /** Begins what is new among the wanted. */
  want(wanted: readonly WantedExec[]): void {
    const ids = new Set(wanted.map(({ id }) => id));
    for (const id of this.#begun) if (!ids.has(id)) this.#begun.delete(id);
    for (const exec of wanted) {
      if (this.#begun.has(exec.id)) continue;
      this.#begun.add(exec.id);
      this.#serve(exec);
    }
  }

  async #serve(wanted: WantedExec): Promise<void> {
    const { over, log } = this.#deps, { id, container, volume, command } = wanted;
    const at = volume === undefined ? { container } : { volume: volume.id };
    const channel = await this.#connect(id);
    if (channel === null) return log("exec.unreachable", { exec: id, ...at });
    const close = () => channel.close();
    over.addEventListener("abort", close);
    if (over.aborted) close(); // while it connected
    try {
      log("exec.started", { exec: id, ...at, command });
      await run(channel, await this.#start(wanted));
    } catch (error) {
      channel.say({ t: "error", message: error instanceof Error ? error.message : String(error) });
    }
    await channel.gone; // the client closes it, when it has had all
    over.removeEventListener("abort", close);
  }

  async #start({ container = "", volume, command, tty }: WantedExec): Promise<Exec> {
    if (volume !== undefined) return this.#deps.volumes.exec(volume, command);
    const host = this.#deps.host(container);
    if (host === undefined) throw new Error("Cannot run a command: the container does not run here");
    return await host.exec({ command, ...(tty === undefined ? {} : { tty }) });
  }

  /** The client waits at one of several api processes: who is asked may be another. */
  async #connect(id: string): Promise<ExecChannel | null> {
    const { api, clock, over } = this.#deps;
    const until = clock.now() + LIMITS.execDialSeconds * 1_000;
    for (let tries = 0; clock.now() < until && !over.aborted && this.#begun.has(id); tries++) {
      const channel = new ExecChannel(api.connectExec(id));
      if (await channel.opened) return channel;
      await clock.sleep(backoffMs(tries), over);
    }
    return null;
  }
}

/** Passes everything both ways until the command has ended, or the client has gone. */
async function run(channel: ExecChannel, exec: Exec): Promise<void> {
  const stdin = exec.stdin.getWriter();
  const quietly = (done: Promise<void>) => done.catch(() => {}); // it does not read any more
  channel.listen({
    bytes: (stream, bytes) => stream === "stdin" ? quietly(stdin.write(bytes)) : undefined,
    said: (said) => {
      if (said.t === "eof") return quietly(stdin.close());
      if (said.t === "resize") exec.resize(said);
    },
  });
  const printed = Promise.all([
    channel.sendAll("stdout", exec.stdout),
    channel.sendAll("stderr", exec.stderr),
  ]);
  channel.gone.then(() => exec.kill());
  const { code, signal } = await exec.exited;
  exec.kill(); // what it left running, which may hold its pipes
  await printed;
  channel.say({ t: "exit", code, signal });
  await quietly(stdin.abort());
}
