/**
 * A guest without a process: speaks the guest protocol to the real runner, and does with each call what the call's input asks of it,
 * in virtual time.
 */
import type { Channel, Guest, GuestExit, Usage } from "../../../runner/engine.ts";
import type { Assignment } from "../../../sdk/protocol.ts";
import type { Process } from "../process.ts";
import type { Entry, Timeline } from "../timeline.ts";
import { type Deed, type Done, isDeed } from "./deed.ts";
import { EndpointSocket } from "./endpoint.ts";

export interface GuestDeps {
  readonly timeline: Timeline;
  /** Its first runner, which reads what it says. */
  readonly runner: Process;
  /** How long it goes on without a runner; null when it ends with it. */
  readonly resumeMs: number | null;
  /** From `load` to `ready`. */
  readonly loadMs: number;
  /** What its module throws when it is imported. */
  readonly broken: string | null;
  /** From the kill to the end of the process. */
  readonly dieMs: () => number;
  /** The process has ended. */
  readonly ended: () => void;
}

interface CallFrame {
  readonly t: "call";
  readonly c: number;
  readonly id: string;
  readonly attempt: number;
  readonly input: unknown;
}

/** A call that runs. */
interface Running {
  readonly frame: CallFrame;
  readonly deed: Deed;
  entry: Entry | null;
  memoryMiB: number;
  /** How it ended, while there was nobody to tell. */
  ended: Record<string, unknown> | null;
}

const BASE_MIB = 30;
const SPEAK_MS = 0.2;
/** From the last call's end to the exit of a drained guest. */
const LEAVE_MS = 5;

export class SimulatedGuest implements Channel {
  readonly assignment: Assignment;
  readonly #deps: GuestDeps;
  #runner: Process;
  #exit = Promise.withResolvers<GuestExit>();
  #stdout = silent();
  #stderr = silent();
  readonly #waiting: CallFrame[] = [];
  readonly #running = new Map<number, Running>();
  readonly #sockets = new Set<EndpointSocket>();
  #requests = 0;
  #unread: Uint8Array[] = [];
  #arrived = Promise.withResolvers<void>();
  #rest = "";
  #gone = false;
  /** The runner knows that it is gone. */
  #hungUp = false;
  #draining = false;
  #dying = false;
  #ready = false;
  /** Its end, should no runner come; null while there is one. */
  #givesUp: Entry | null = null;
  #next = 0;
  #cpuUs = 0;

  constructor(assignment: Assignment, deps: GuestDeps) {
    this.assignment = assignment;
    this.#deps = deps;
    this.#runner = deps.runner;
    this.#say(HELLO);
  }

  // ── the channel ─────────────────────────────────────────────────────────────────────────────────────────────────────

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
    const text = this.#rest + new TextDecoder().decode(bytes);
    const end = text.lastIndexOf("\n") + 1;
    this.#rest = text.slice(end);
    const frames = text.slice(0, end).split("\n").filter((line) => line !== "").map((line) =>
      JSON.parse(line)
    );
    this.#deps.timeline.after(SPEAK_MS, () => {
      if (!this.#dying) { for (const frame of frames) this.#hear(frame); }
    });
    return Promise.resolve(bytes.length);
  }

  /** Nobody listens any more: a guest leaves then. */
  close(): void {
    this.kill();
  }

  // ── the process ─────────────────────────────────────────────────────────────────────────────────────────────────────

  kill(): void {
    this.#exitWith(137, "SIGKILL", this.#deps.dieMs());
  }

  /** A connection of a gateway to its endpoints. */
  connect(gateway: Process): EndpointSocket {
    if (this.#dying) throw new Error("Connection refused");
    const { timeline } = this.#deps;
    const socket = new EndpointSocket(timeline, gateway, {
      container: this.assignment.id,
      serve: (ms, done) => this.#serve(ms, done),
    });
    this.#sockets.add(socket);
    return socket;
  }

  /** It is gone at once. */
  vanish(): void {
    this.#die();
    this.#end(137, "SIGKILL");
  }

  /** It waits for another runner. */
  get isLeft(): boolean {
    return this.#givesUp !== null && !this.#dying;
  }

  /** Another runner has come. What has not begun never will. */
  resume(runner: Process): void {
    const { timeline } = this.#deps;
    timeline.cancel(this.#givesUp!);
    this.#givesUp = null;
    this.#runner = runner;
    this.#exit = Promise.withResolvers();
    [this.#stdout, this.#stderr] = [silent(), silent()];
    this.#unread = [];
    this.#rest = "";
    this.#waiting.splice(0);
    const running = [...this.#running.values()].map(({ frame: { c, id, attempt } }) => ({ c, id, attempt }));
    this.#say({ ...HELLO, resumes: { next: this.#next, running } });
    for (const one of [...this.#running.values()]) if (one.ended !== null) this.#tellEnd(one, one.ended);
  }

  /** Its runner is gone, and its channel closed: it waits for another, or leaves, unless its code does not let it. */
  orphan(): void {
    const { timeline, resumeMs } = this.#deps;
    if (this.#dying || this.#givesUp !== null) return;
    if (this.#ready && resumeMs !== null) {
      this.#givesUp = timeline.after(resumeMs, () => this.#exitWith(0, null, LEAVE_MS));
      return;
    }
    if ([...this.#running.values()].some(({ deed }) => deed.deaf)) return;
    this.#exitWith(0, null, LEAVE_MS);
  }

  get usage(): Usage {
    const used = [...this.#running.values()].reduce((sum, { memoryMiB }) => sum + memoryMiB, BASE_MIB);
    return { cpuUs: this.#cpuUs, memoryMiB: used };
  }

  asGuest(): Guest {
    return {
      channel: this,
      stdout: this.#stdout.readable,
      stderr: this.#stderr.readable,
      exited: this.#exit.promise,
      resumeMs: this.#deps.resumeMs ?? undefined,
      path: "/app.js",
      address: `sim:${this.assignment.id}`,
      secretFolder: ({ name }) => `/secrets/${name}`,
      spool: "/nowhere",
      settle: () => Promise.resolve(),
      usage: () => this.usage,
      kill: () => this.kill(),
      release: () => Promise.resolve(),
    };
  }

  #exitWith(code: number, signal: string | null, afterMs: number): void {
    if (this.#dying) return;
    this.#die();
    this.#deps.timeline.after(afterMs, () => this.#end(code, signal));
  }

  /** Does nothing more. */
  #die(): void {
    this.#dying = true;
    for (const { entry } of this.#running.values()) if (entry !== null) this.#deps.timeline.cancel(entry);
  }

  #end(code: number, signal: string | null): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#deps.ended();
    for (const socket of this.#sockets) socket.hangUp();
    this.#runner.enter(() => {
      this.#hungUp = true;
      this.#arrived.resolve();
      this.#stdout.end();
      this.#stderr.end();
      this.#exit.resolve({ code, signal });
    });
  }

  // ── the protocol ────────────────────────────────────────────────────────────────────────────────────────────────────

  #say(frame: Record<string, unknown>): void {
    const runner = this.#runner;
    this.#deps.timeline.after(SPEAK_MS, () =>
      runner.enter(() => {
        this.#unread.push(new TextEncoder().encode(`${JSON.stringify(frame)}\n`));
        this.#arrived.resolve();
      }));
  }

  #hear(frame: { readonly t: string } & Record<string, unknown>): void {
    switch (frame.t) {
      case "load":
        return this.#load();
      case "call":
        this.#waiting.push(frame as unknown as CallFrame);
        this.#next = (frame as unknown as CallFrame).c + 1;
        return this.#pump();
      case "cancel":
        return this.#cancel(frame.c as number);
      case "recall":
        return this.#say({ t: "recalled", calls: this.#waiting.splice(0).map(({ c }) => c) });
      case "preempt":
        return this.#giveWay();
      case "drain":
        this.#draining = true;
        return this.#leave();
    }
  }

  #load(): void {
    const { timeline, broken, loadMs } = this.#deps;
    timeline.after(loadMs, () => {
      if (this.#dying) return;
      this.#ready = broken === null && this.#givesUp === null;
      if (broken === null) this.#say({ t: "ready" });
      else this.#say({ t: "broken", message: broken });
    });
  }

  #pump(): void {
    while (this.#waiting.length > 0 && this.#running.size < this.assignment.spec.concurrency) {
      this.#begin(this.#waiting.shift()!);
    }
    this.#leave();
  }

  #begin(frame: CallFrame): void {
    const deed: Deed = isDeed(frame.input) ? frame.input : { n: -1, do: "return", ms: 10 };
    const running: Running = { frame, deed, entry: null, memoryMiB: 0, ended: null };
    this.#running.set(frame.c, running);
    if (deed.do === "grow") running.memoryMiB = 1_000_000;
    if (deed.do !== "hang" && deed.do !== "grow") {
      running.entry = this.#deps.timeline.after(deed.ms, () => this.#finish(running));
    }
  }

  #finish(running: Running): void {
    const { frame, deed } = running;
    this.#cpuUs += Math.round(deed.ms * 100);
    if (deed.do === "exit") return this.#exitWith(3, null, 0);
    const fails = deed.do === "throw" || (deed.do === "stumble" && frame.attempt <= (deed.times ?? 1));
    const failed = { t: "error", c: frame.c, message: `boom ${deed.n}`, retryable: true };
    this.#tellEnd(running, fails ? failed : { t: "result", c: frame.c, v: this.#done(frame, deed) });
  }

  /** A call runs until its end was told. */
  #tellEnd(running: Running, end: Record<string, unknown>): void {
    running.ended = end;
    if (this.isLeft) return;
    this.#running.delete(running.frame.c);
    this.#say(end);
    this.#pump();
  }

  #done({ id, attempt }: CallFrame, { n }: Deed): Done {
    return { n, call: id, attempt, container: this.assignment.id };
  }

  /** What is told to end ends, unless it is deaf. */
  #cancel(c: number): void {
    const at = this.#waiting.findIndex((frame) => frame.c === c);
    if (at !== -1) {
      this.#waiting.splice(at, 1);
      return this.#say({ t: "error", c, message: "The call was cancelled" });
    }
    const running = this.#running.get(c);
    if (running === undefined || running.deed.deaf) return;
    if (running.entry !== null) this.#deps.timeline.cancel(running.entry);
    this.#running.delete(c);
    this.#say({ t: "error", c, message: "The call was cancelled" });
    this.#pump();
  }

  /** What is not deaf saves what it has and ends. */
  #giveWay(): void {
    for (const [c, { deed, entry }] of this.#running) {
      if (deed.deaf) continue;
      if (entry !== null) this.#deps.timeline.cancel(entry);
      this.#running.delete(c);
      this.#say({ t: "error", c, message: "It gave way" });
    }
    this.#leave();
  }

  #serve(ms: number, done: () => void): void {
    this.#requests++;
    this.#deps.timeline.after(ms, () => {
      if (this.#dying) return;
      this.#requests--;
      done();
      this.#leave();
    });
  }

  #leave(): void {
    if (!this.#draining || this.#running.size + this.#waiting.length + this.#requests > 0) return;
    this.#exitWith(0, null, LEAVE_MS);
  }
}

const HELLO = { t: "hello", protocol: 1, pid: 1 } as const;

/** Output that never says anything, and ends. */
function silent(): { readonly readable: ReadableStream<Uint8Array>; end: () => void } {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const readable = new ReadableStream<Uint8Array>({ start: (it) => void (controller = it) });
  return { readable, end: () => controller.close() };
}
