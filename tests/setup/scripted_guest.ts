/** A guest made of lines that a test says, for a container without a process. */
import type { Channel, Engine, Guest, GuestExit, StartContext } from "../../runner/engine.ts";
import { StartError } from "../../runner/engine.ts";

export class ScriptedGuest implements Channel {
  readonly #exit = Promise.withResolvers<GuestExit>();
  readonly #stderr = new TransformStream<Uint8Array, Uint8Array>();
  readonly #stdout = new TransformStream<Uint8Array, Uint8Array>();
  #unread: Uint8Array[] = [];
  #arrived = Promise.withResolvers<void>();
  #hungUp = false;
  #heard = "";
  killed = 0;
  memoryMiB = 50;
  runs = true;

  /** Says one frame to the runner. */
  say(...frames: (Record<string, unknown> | string)[]): void {
    const text = frames.map((frame) => typeof frame === "string" ? frame : JSON.stringify(frame) + "\n").join(
      "",
    );
    this.#unread.push(new TextEncoder().encode(text));
    this.#arrived.resolve();
  }

  /** The frames it was sent. */
  get heard(): Record<string, unknown>[] {
    return this.#heard.split("\n").slice(0, -1).map((line) => JSON.parse(line));
  }

  kinds(): unknown[] {
    return this.heard.map(({ t }) => t);
  }

  hangUp(): void {
    this.#hungUp = true;
    this.#arrived.resolve();
  }

  exit(code: number, signal: string | null = null): void {
    this.hangUp();
    this.#exit.resolve({ code, signal });
    for (const { writable } of [this.#stdout, this.#stderr]) writable.close().catch(() => {});
  }

  async read(into: Uint8Array): Promise<number | null> {
    while (this.#unread.length === 0 && !this.#hungUp) {
      await this.#arrived.promise;
      this.#arrived = Promise.withResolvers();
    }
    const part = this.#unread.shift();
    if (part === undefined) return null;
    into.set(part);
    return part.length;
  }

  write(bytes: Uint8Array): Promise<number> {
    this.#heard += new TextDecoder().decode(bytes);
    return Promise.resolve(bytes.length);
  }

  close(): void {}

  asGuest(): Guest {
    return {
      channel: this,
      stdout: this.#stdout.readable,
      stderr: this.#stderr.readable,
      exited: this.#exit.promise,
      path: "/slot/app/app.js",
      address: "/slot/http.sock",
      spool: "/slot",
      secretFolder: ({ name }) => `/slot/secrets/${name}`,
      settle: () => Promise.resolve(),
      runs: () => this.runs,
      usage: () => ({ cpuUs: 0, memoryMiB: this.memoryMiB }),
      kill: () => {
        this.killed++;
        this.exit(137, "SIGKILL");
      },
      release: () => Promise.resolve(),
    };
  }
}

/** Starts scripted guests; with a failure, or never, when a test wants so. */
export class ScriptedEngine implements Engine {
  readonly guests: ScriptedGuest[] = [];
  fails: string | null = null;
  hangs = false;
  starts = 0;

  start(_assignment: unknown, { say }: StartContext): Promise<Guest> {
    this.starts++;
    if (this.hangs) {
      say("Installing the moon");
      return new Promise(() => {});
    }
    if (this.fails !== null) return Promise.reject(new StartError(this.fails));
    const guest = new ScriptedGuest();
    this.guests.push(guest);
    return Promise.resolve(guest.asGuest());
  }

  settled(): void {}

  close(): Promise<void> {
    return Promise.resolve();
  }
}
