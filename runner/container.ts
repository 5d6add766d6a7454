/**
 * One container from its start to its exit.
 *
 * - `starting`: the engine brings up a guest, which connects, loads the code and says `ready`; bounded by `startTimeout`.
 * - `ready`: it is given calls.
 * - `draining`: it takes no more; it ends what runs, then leaves.
 * - `stopping`: what runs was told to end; it is killed after a grace time.
 * - `exited`: its guest is gone, every call it had has its report, its cause of exit is known.
 */
import {
  type Assignment,
  type DeliveredSecret,
  type ExecCommand,
  type Exit,
  LIMITS,
  type ObservedContainer,
} from "../sdk/protocol.ts";
import { parseDuration } from "../sdk/duration.ts";
import type { Clock, Log } from "../sdk/ports.ts";
import type { Adopted } from "./adopted.ts";
import type { NodeApi } from "./api.ts";
import { within } from "./bell.ts";
import type { DoomReason, HeldCall, HeldLease } from "./calls.ts";
import { Commands } from "./commands.ts";
import { Dialogue } from "./dialogue.ts";
import { type Engine, type Exec, type Guest, type GuestExit, StartError } from "./engine.ts";
import { causeOf, neverReady, notTakenOver, overstayed, requestsMs, spokeOutside } from "./exits.ts";
import { usedTooMuch, type Verdict } from "./exits.ts";
import type { Resumes } from "./frames.ts";
import { loadFrame } from "./host_frames.ts";
import { Link } from "./link.ts";
import { Meter } from "./meter.ts";
import type { Outbox } from "./outbox.ts";
import { Output } from "./output.ts";
import type { Known } from "./reconcile.ts";
import { Redactor } from "./redact.ts";
import { watchScratch } from "./scratch.ts";
import { secretValues } from "./secrets.ts";
import { Services } from "./services.ts";
import { bringUp, discard, fetchSecrets, publish, readOut, startFailure, unlessAborted } from "./start.ts";
import { type Own, ownLines, Voice } from "./voice.ts";
import { type Violation, Work } from "./work.ts";

export interface ContainerDeps {
  /** Absent when it is to be started, and no earlier runner has. */
  readonly adopted?: Adopted | undefined;
  readonly api: NodeApi;
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Log;
  readonly outbox: Outbox;
  /** From the notice to the kill: of a call that must end, of a container that must. */
  readonly graceMs: number;
  /** It has ended: removes what is left of it, or keeps it. */
  retire(assignment: Assignment, guest: Guest, exit: Exit): Promise<void>;
  /** What is observed of it has changed. */
  changed(): void;
  /** It could do with calls. */
  hungry(): void;
}

/** Time for the end of a guest that closed its channel. */
const HUNG_UP_MS = 1_000;
const STOPPED: Verdict = { kind: "stopped", message: "It was no longer wanted" };

export class Container {
  readonly id: string;
  readonly #assignment: Assignment;
  readonly #deps: ContainerDeps;
  readonly #work: Work;
  readonly #output: Output;
  readonly #voice: Voice;
  readonly #log: Own;
  readonly #meter: Meter;
  readonly #abort = new AbortController();
  readonly #startBy: number;
  readonly #serves: boolean;
  readonly #takesCalls: boolean;
  #state: Known["state"] = "starting";
  #wasReady = false;
  #phase = "the process did not connect";
  #secrets: readonly DeliveredSecret[] = [];
  #redactor = new Redactor();
  #guest: Guest | null = null;
  #link: Link | null = null;
  #verdict: Verdict | null = null;
  #exit: Exit | null = null;
  readonly #commands = new Commands();
  /** When it is killed if it has not left by itself; and since it must give way. */
  #leaveBy = Infinity;
  #giveWayBy = Infinity;

  constructor(assignment: Assignment, deps: ContainerDeps) {
    const { id, spec } = assignment;
    this.id = id;
    this.#assignment = assignment;
    this.#deps = deps;
    this.#startBy = deps.clock.now() + parseDuration(spec.startTimeout);
    this.#serves = spec.methods.some(({ kind }) => kind === "endpoint");
    this.#takesCalls = spec.methods.some(({ kind }) => kind === "call");
    this.#meter = new Meter(spec.memory);
    this.#output = new Output({
      clock: deps.clock,
      tell: (stream, text) => this.#voice.tell(stream, text),
      roomy: () => !deps.outbox.full,
      settle: () => this.#guest!.settle(),
      hold: (text) => this.#redactor.isPending(text),
    });
    this.#work = new Work({
      container: id,
      spec,
      graceMs: deps.graceMs,
      outbox: deps.outbox,
      now: () => deps.clock.now(),
      send: (frame) => this.#link?.send(frame),
      backlog: () => this.#link?.backlog ?? 0,
      cpuUs: () => this.#meter.cpuUs(this.#guest, deps.clock.now()),
      kill: (why) => this.#killFor(why),
      printing: () => this.#output.printing,
      quiet: () => this.#output.quiet(),
      hungry: () => deps.hungry(),
      redactor: () => this.#redactor,
    });
    this.#work.adopt(deps.adopted?.leases ?? []);
    this.#log = ownLines(id, { ...deps, redactor: () => this.#redactor, next: deps.adopted?.nextLine ?? 0 });
    this.#voice = new Voice(this.#work, this.#takesCalls ? null : this.#log);
  }

  get state(): Known["state"] {
    return this.#state;
  }

  /** It was told to give way. */
  get givesWay(): boolean {
    return this.#giveWayBy < Infinity;
  }

  /** True when it holds no call. */
  get idle(): boolean {
    return this.#work.idle;
  }

  get observed(): ObservedContainer {
    if (this.#exit !== null) return { id: this.id, observed: "exited", exit: this.#exit };
    if (!this.#wasReady) return { id: this.id, observed: "starting" };
    return { id: this.id, observed: "ready", ...(this.#serves ? { address: this.#guest!.address } : {}) };
  }

  /** How many more calls it can be given, when it may hold `share` beyond those that run. A gang holds none ahead: it begins together. */
  free(share: number): number {
    if (this.#state !== "ready" || !this.#takesCalls) return 0;
    return this.#work.free(this.#assignment.gang === undefined ? share : 0);
  }

  give(lease: HeldLease): void {
    this.#work.give(lease);
    this.#voice.tellAsides();
  }

  cancel(call: HeldCall): void {
    this.#work.cancel(call);
  }

  /** Lives it through; resolves when it has exited. Never rejects. */
  async run(): Promise<void> {
    const starting = this.#start();
    try {
      this.#guest = await unlessAborted(this.#abort.signal, starting);
    } catch (error) {
      this.#exited(this.#notStarted(error));
      return await starting.then(discard, () => {});
    }
    await this.#live(this.#guest);
  }

  /** Runs a command inside it, for as long as it runs itself. Throws a {@link StartError}. */
  async exec(command: ExecCommand): Promise<Exec> {
    const guest = this.#exit === null ? this.#guest : null;
    if (guest === null) throw new StartError("Cannot run a command: the container does not run");
    if (guest.exec === undefined) throw new StartError("Cannot run a command: its engine can't look into it");
    return await this.#commands.add(guest.exec(command));
  }

  /** Ends what it has, then leaves. @param hurry without waiting for requests that may still come */
  drain({ hurry = false } = {}): void {
    if (this.#state === "starting") return this.#stopStarting();
    if (this.#state !== "ready") return;
    this.#state = "draining";
    this.#work.close();
    this.#link?.send('{"t":"drain"}\n');
    if (hurry) this.#guest?.terminate?.();
  }

  /**
   * Gives way to more important work: its calls get notice, and what is left of it is killed when that is over. The time counts
   * from now, by this machine's clock: another's may be ahead by more than the whole notice.
   */
  preempt(): void {
    if (this.#state === "starting") return this.#stopStarting();
    if (this.#state !== "ready" && this.#state !== "draining") return;
    const noticeMs = parseDuration(this.#assignment.spec.preemptNotice);
    this.#giveWayBy = this.#deps.clock.now() + noticeMs;
    this.#work.preempt(noticeMs);
    this.drain();
  }

  /** Tells all that runs to end, and kills what is left after the grace time. */
  stop(): void {
    if (this.#state === "exited" || this.#state === "stopping") return;
    if (!this.#wasReady) return this.kill();
    const told = this.#state === "draining";
    this.#state = "stopping";
    this.#leaveBy = this.#deps.clock.now() + this.#deps.graceMs;
    this.#work.stop();
    if (!told) this.#link?.send('{"t":"drain"}\n');
    this.#guest?.terminate?.();
  }

  kill(): void {
    this.#condemn(STOPPED);
  }

  /** The platform has heard that it has ended. */
  forgotten(): void {
    this.#guest?.forgotten?.();
  }

  /** What must happen because time has passed. */
  tick(now: number): void {
    if (this.#state === "exited") return;
    if (!this.#wasReady && now > this.#startBy) {
      const missing = this.#guest?.lacks?.() ?? this.#phase;
      const { startTimeout } = this.#assignment.spec;
      return this.#condemn(neverReady(startTimeout, missing, this.#output.lastLines));
    }
    this.#work.tick(now);
    this.#watchMemory(now);
    this.#watchLeaving(now);
  }

  // ── its life ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #start(): Promise<Guest> {
    const { api, clock, engine, adopted } = this.#deps, { signal } = this.#abort;
    if (this.#assignment.spec.secrets.length > 0) this.#phase = "its secrets did not arrive";
    this.#secrets = await fetchSecrets(this.#assignment, { api, clock, signal });
    this.#redactor = new Redactor(this.#secrets);
    return await bringUp(this.#assignment, {
      api,
      clock,
      signal,
      engine,
      adopts: adopted !== undefined,
      secrets: this.#secrets,
      say: (text) => this.#say(text),
    });
  }

  /** One that only has to be found again has calls that may run: what is wanted of it is said again when it was found. */
  #stopStarting(): void {
    if (this.#deps.adopted === undefined) this.stop();
  }

  async #live(guest: Guest): Promise<void> {
    if (this.#verdict !== null) guest.kill();
    this.#phase = "the process connected, but its code was not loaded";
    const link = this.#link = new Link(guest.channel);
    const { api, clock } = this.#deps;
    const services = new Services({ api, clock, link, container: this.id, spool: guest.spool });
    watchScratch(guest, clock, (message) => this.#condemn({ kind: "user_error", message }));
    const printed = this.#output.read(guest.stdout, guest.stderr);
    const read = link.read(this.#dialogue(services)).then(() => this.#hungUp(guest));
    const exit = await guest.exited;
    guest.kill(); // what it has started
    await readOut(Promise.all([read, printed]), this.#deps);
    link.close();
    services.close();
    this.#exited(this.#cause(exit));
    await this.#deps.retire(this.#assignment, guest, this.#exit!);
  }

  #dialogue(services: Services): Dialogue {
    return new Dialogue({
      container: this.id,
      work: this.#work,
      services,
      outbox: this.#deps.outbox,
      hello: (resumes) => this.#hello(resumes),
      ready: () => this.#ready(),
      broken: (message) => this.#condemn({ kind: this.#wasReady ? "user_error" : "start_failed", message }),
      aside: (stream, text) => this.#voice.tell(stream, text),
      violation: (reason) => this.#condemn(spokeOutside(reason, this.#wasReady)),
      endOfTurn: () => this.#work.endOfTurn(),
    });
  }

  #hello(resumes: Resumes | undefined): Violation {
    if (resumes === undefined) {
      const { path, secretFolder, volumes, resumeMs } = this.#guest!;
      const secrets = secretValues(this.#secrets, secretFolder);
      this.#link!.send(loadFrame(this.#assignment, { path, volumes, secrets, resumeMs }));
    } else if (this.#deps.adopted !== undefined) {
      this.#work.resume(resumes);
      this.#ready();
    } else return "it resumes what never began";
    return null;
  }

  #ready(): void {
    this.#wasReady = true;
    this.#meter.begin(this.#guest, this.#deps.clock.now());
    if (this.#state !== "starting") return;
    const unreachable = publish(this.#guest!, this.#serves);
    if (unreachable !== null) return this.#condemn({ kind: "start_failed", message: unreachable });
    this.#state = "ready";
    this.#deps.engine.settled();
    this.#deps.changed();
    this.#deps.hungry();
  }

  /** The guest closed its end: it is about to exit, or it must be made to. */
  async #hungUp(guest: Guest): Promise<void> {
    if (this.#state === "draining" || this.#state === "stopping") return;
    if (await within(this.#deps.clock, guest.exitSeenMs ?? HUNG_UP_MS, guest.exited)) return;
    if (guest.runs?.() !== false) this.#condemn(spokeOutside("it closed its channel", this.#wasReady));
  }

  #exited(ended: Exit): void {
    const { kind, message } = this.#deps.adopted && !this.#wasReady ? notTakenOver(ended) : ended;
    const exit = { kind, message: this.#redactor.within(message, LIMITS.failureMessageLength) };
    this.#exit = exit;
    this.#state = "exited";
    this.#work.end(exit);
    this.#commands.end();
    if (!this.#takesCalls) this.#log("system", `It ended (${exit.kind}): ${exit.message}`);
    this.#deps.log("container.exited", { container: this.id, function: this.#assignment.spec.name, ...exit });
    this.#deps.engine.settled();
    this.#deps.changed();
    this.#deps.hungry();
  }

  // ── how it ends ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Kills it, and notes why; the first reason stands. */
  #condemn(verdict: Verdict): void {
    if (this.#state === "exited") return;
    this.#verdict ??= verdict;
    this.#abort.abort();
    this.#guest?.kill();
  }

  #killFor(why: DoomReason): void {
    if (why !== "timeout" && why !== "cancelled") return this.kill();
    this.#condemn(overstayed(why, this.#assignment.spec.timeout));
  }

  #notStarted(error: unknown): Exit {
    if (this.#verdict !== null) return this.#verdict;
    if (!(error instanceof StartError)) {
      const said = this.#redactor.text(String(error));
      this.#deps.log("container.start_error", { container: this.id, error: said });
    }
    return startFailure(error);
  }

  #cause(exit: GuestExit): Exit {
    const left = this.#state === "stopping" ||
      this.#state === "draining" && (exit.code === 0 || this.#work.idle);
    return causeOf({
      exit,
      verdict: this.#verdict ?? (left ? STOPPED : null),
      wasReady: this.#wasReady,
      stderr: this.#output.tail,
      memoryMiB: this.#assignment.spec.memory,
      seenMemoryMiB: this.#meter.seenMiB,
    });
  }

  #watchMemory(now: number): void {
    if (!this.#meter.exceeds(this.#guest, now)) return;
    this.#condemn(usedTooMuch(this.#meter.seenMiB, this.#assignment.spec.memory));
  }

  /** A drained one that holds no call has the grace time for its `@exit`, and longer for requests that it still answers. */
  #watchLeaving(now: number): void {
    if (this.#state === "draining" && this.#leaveBy === Infinity && this.#work.idle) {
      this.#leaveBy = now + this.#deps.graceMs + (this.#serves ? requestsMs(this.#assignment) : 0);
    }
    const end = Math.min(this.#leaveBy, this.#giveWayBy);
    if (now >= end - this.#deps.graceMs) this.#guest?.terminate?.();
    if (now >= end) this.kill();
  }

  #say(text: string): void {
    this.#phase = text;
    this.#voice.tell("system", text);
  }
}
