/** Commands inside containers, by the engine. It starts them and passes their streams on; to end them is left to us. */
import { kill, processesWith, startedAt } from "../../../sdk/proc.ts";
import type { Clock } from "../../../sdk/ports.ts";
import type { ExecCommand } from "../../../sdk/protocol.ts";
import { type Exec, type GuestExit, StartError } from "../../engine.ts";
import type { Attached } from "./attach.ts";
import type { ExecState, OciClient } from "./client.ts";
import { exitOf } from "./exit.ts";
import { EngineRefused } from "./http.ts";

export interface ExecDeps {
  readonly client: OciClient;
  readonly clock: Clock;
}

/** Where a command runs. */
export interface Inside {
  /** The container, as its engine names it. */
  readonly id: string;
  readonly workdir: string;
  readonly env: Readonly<Record<string, string>>;
  /** Names the command among all of this machine: what it starts is found by it. */
  readonly tag: string;
  /** Whether the container runs, as far as this machine can tell. Its engine says that it has ended only when nothing of it is attached. */
  runs(): boolean;
}

/** The engine tells nobody that a command has ended while something holds its pipes: the kernel is asked instead. */
const LOOK_MS = 50;
/** Time for what was printed last, when all that could print is gone. */
const LAST_WORDS_MS = 1_000;
/** A command that is about to begin has no terminal yet whose size could be set. */
const SIZE_TRIES = 20;
const KILLED: GuestExit = { code: 137, signal: "SIGKILL" };

export async function execIn(deps: ExecDeps, inside: Inside, command: ExecCommand): Promise<Exec> {
  try {
    const running = await RunningExec.start(deps, inside, command);
    return running.exec;
  } catch (error) {
    if (!(error instanceof EngineRefused)) throw error;
    throw new StartError(`Cannot run "${command.command[0]}": ${error.message}`, { cause: error });
  }
}

class RunningExec {
  readonly exec: Exec;
  readonly #deps: ExecDeps;
  readonly #inside: Inside;
  readonly #id: string;
  readonly #attached: Attached;
  #killed = false;

  private constructor(deps: ExecDeps, inside: Inside, id: string, attached: Attached, tty: boolean) {
    this.#deps = deps;
    this.#inside = inside;
    this.#id = id;
    this.#attached = attached;
    const { stdin, stdout, stderr } = attached;
    this.exec = {
      stdin,
      stdout,
      stderr,
      exited: this.#watch().catch(() => KILLED),
      resize: (size) => {
        if (tty) deps.client.resizeExec(id, size).catch(() => {}); // it has just ended
      },
      kill: () => this.#kill(),
    };
  }

  static async start(deps: ExecDeps, inside: Inside, { command, tty }: ExecCommand): Promise<RunningExec> {
    const { client } = deps;
    const id = await client.createExec(inside.id, {
      command,
      workdir: inside.workdir,
      env: { ...inside.env, ...(tty === undefined ? {} : { TERM: tty.term }), BERTH_EXEC: inside.tag },
      tty: tty !== undefined,
    });
    const attached = await client.startExec(id, tty !== undefined);
    const running = new RunningExec(deps, inside, id, attached, tty !== undefined);
    if (tty !== undefined) await running.#size(tty);
    return running;
  }

  async #size(size: { columns: number; rows: number }): Promise<void> {
    const { client, clock } = this.#deps;
    for (let tries = 0; tries < SIZE_TRIES; tries++) {
      const set = await client.resizeExec(this.#id, size).then(() => true, () => false);
      if (set) return;
      await clock.sleep(LOOK_MS);
    }
  }

  async #watch(): Promise<GuestExit> {
    const { client, clock } = this.#deps;
    let state: ExecState | null = null;
    let over = false;
    this.#attached.ended.then(() => over = true);
    for (let started: number | null = null;;) {
      if (!this.#inside.runs()) this.#kill();
      const gone = started !== null && startedAt(state!.Pid) !== started;
      if (state === null || over || gone || started === null) state = await client.execState(this.#id);
      if (state === null) return KILLED; // its container is gone
      if (!state.Running && state.ExitCode !== null) return endedWith(state.ExitCode);
      started ??= state.Pid > 0 ? startedAt(state.Pid) : null;
      if (this.#killed) this.#killAll(); // what had not begun when it was killed
      await clock.sleep(LOOK_MS);
    }
  }

  #kill(): void {
    this.#killAll();
    if (this.#killed) return;
    this.#killed = true;
    this.#close();
  }

  /** What was left running may hold its pipes for ever. What was printed may be taken slowly, while there is a container. */
  async #close(): Promise<void> {
    do await this.#deps.clock.sleep(LAST_WORDS_MS); while (!this.#attached.drained && this.#inside.runs());
    this.#attached.close();
  }

  #killAll(): void {
    for (const pid of processesWith(`BERTH_EXEC=${this.#inside.tag}\0`)) kill(pid);
  }
}

const endedWith = (code: number): GuestExit =>
  exitOf({ code, outOfMemory: false, bereft: false, memoryMiB: 0 });
