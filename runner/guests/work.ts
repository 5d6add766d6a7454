/** The calls of one guest: first in first out, at most `concurrency` at once. */
import { CallContext, type ContainerIdentity, type Outlet } from "../../sdk/context.ts";
import type { Invoke } from "../../sdk/invoke.ts";
import type { Clock } from "../../sdk/ports.ts";
import { isReference, type ValueReference } from "../../sdk/protocol/reference.ts";
import type { ValueStore } from "../../sdk/transport.ts";
import type { CallFrame, CancelFrame, PreemptFrame, Resumes } from "../frames.ts";
import type { Channel } from "./channel.ts";
import { errorFrame, referenceFrame, resultFrame, yieldFrame, yieldReferenceFrame } from "./outcome.ts";
import type { Turn } from "./turn.ts";

/** How long calls may follow each other before the socket gets a turn: cancels must come in, results must go out. */
const TURN_MS = 5;
/** A generator waits while this much has not been written. */
const BACKLOG_MAX = 256 * 1024;
/** Started calls that the queue may still hold before it is cut. */
const QUEUE_SLACK = 4_096;

export interface WorkOptions {
  readonly identity: ContainerIdentity;
  readonly methods: ReadonlyMap<string, Invoke>;
  readonly concurrency: number;
  readonly channel: Channel;
  readonly outlet: Outlet;
  /** Where values go, and come from, that are too large to travel. */
  readonly values: ValueStore;
  readonly clock: Clock;
  readonly turn: Turn;
}

interface Running {
  readonly call: number;
  readonly ctx: CallContext;
  /** How it ended, while nobody can be told. */
  ended?: string;
}

export class Work {
  readonly #options: WorkOptions;
  #queue: CallFrame[] = [];
  #head = 0;
  readonly #running = new Map<number, Running>();
  #next = 0;
  #turnEndsAt = 0;
  #round: Promise<void> | undefined;
  #whenIdle: (() => void) | undefined;

  constructor(options: WorkOptions) {
    this.#options = options;
  }

  push(frame: CallFrame): void {
    this.#queue.push(frame);
    this.#next = frame.c + 1;
  }

  /** The host is back: what runs, or has ended meanwhile. What has not begun never will. */
  resumes(): Resumes {
    this.#queue = [];
    this.#head = 0;
    const running = [...this.#running.values()].map(({ call, ctx }) => ({
      c: call,
      id: ctx.callId,
      attempt: ctx.attempt,
    }));
    return { next: this.#next, running };
  }

  /** Tells how calls have ended meanwhile. */
  tellEnds(): void {
    for (const running of this.#running.values()) {
      if (running.ended !== undefined) this.#end(running, running.ended);
    }
    this.#pump();
  }

  /** A new turn: starts what may start. */
  turn(): void {
    this.#turnEndsAt = this.#options.clock.now() + TURN_MS;
    this.#pump();
  }

  /** Ends a call: one that runs is told, one that waits never starts. */
  cancel({ c, reason }: CancelFrame): void {
    const [name, message] = reason === "timeout"
      ? ["TimeoutError", "The call ran out of time"]
      : ["AbortError", "The call was cancelled"];
    const error = new DOMException(message, name);
    const running = this.#running.get(c);
    if (running !== undefined) return running.ctx.abort(error);
    const waiting = this.#waiting().filter((frame) => frame.c === c);
    this.#queue = this.#waiting().filter((frame) => frame.c !== c);
    this.#head = 0;
    for (const frame of waiting) this.#options.channel.sendText(errorFrame(frame.c, error));
  }

  /** All that runs is to give way: it is told, and may end as it likes. */
  preempt({ deadlineMs }: PreemptFrame): void {
    for (const { ctx } of this.#running.values()) ctx.preempt({ deadlineMs });
  }

  /** Gives back what has not started. */
  recall(): void {
    const calls = this.#waiting().map(({ c }) => c);
    this.#queue = [];
    this.#head = 0;
    this.#options.channel.send({ t: "recalled", calls });
  }

  /** Fails all that runs, for an error that nobody caught. False when nothing runs. */
  failRunning(error: unknown): boolean {
    const running = [...this.#running.values()];
    for (const one of running) this.#fail(one, error);
    this.#pump();
    return running.length > 0;
  }

  /** True while a call has started and not ended: only then may it say anything. */
  runs(call: number): boolean {
    return this.#running.has(call);
  }

  /** Resolves when nothing runs or waits. */
  async idle(): Promise<void> {
    while (this.#running.size > 0 || this.#head < this.#queue.length) {
      await new Promise<void>((resolve) => this.#whenIdle = resolve);
    }
  }

  #waiting(): CallFrame[] {
    return this.#queue.slice(this.#head);
  }

  #pump(): void {
    const { clock, concurrency } = this.#options;
    while (this.#head < this.#queue.length && this.#running.size < concurrency) {
      if (clock.now() >= this.#turnEndsAt) return void (this.#round ??= this.#yield());
      this.#start(this.#queue[this.#head++]!);
    }
    if (this.#head > QUEUE_SLACK) this.#compact();
    if (this.#running.size === 0 && this.#head === this.#queue.length) this.#whenIdle?.();
  }

  /** Lets the event loop go round once, then goes on. */
  async #yield(): Promise<void> {
    await this.#options.channel.drained();
    await this.#options.turn.next();
    this.#round = undefined;
    this.turn();
  }

  #compact(): void {
    this.#queue = this.#waiting();
    this.#head = 0;
  }

  #start({ c, id, attempt, method, input, master }: CallFrame): void {
    const { identity, methods, outlet } = this.#options;
    if (master !== undefined) tellChildren(master);
    const running: Running = {
      call: c,
      ctx: new CallContext(identity, { number: c, id, attempt, master }, outlet),
    };
    this.#running.set(c, running);
    try {
      const invoke = methods.get(method);
      if (invoke === undefined) {
        throw new TypeError(`Cannot run ${method}: ${identity.function} has no such method`);
      }
      const value = isReference(input)
        ? this.#loaded(input).then((input) => invoke(input, running.ctx))
        : invoke(input, running.ctx);
      if (isThenable(value)) this.#follow(running, value);
      else if (isStream(value)) this.#follow(running, this.#drain(running, value));
      else this.#succeed(running, value);
    } catch (error) {
      this.#fail(running, error);
    }
  }

  #follow(running: Running, promise: PromiseLike<unknown>): void {
    Promise.resolve(promise)
      .then((value) => isStream(value) ? this.#drain(running, value) : value)
      .then((value) => this.#succeed(running, value), (error) => this.#fail(running, error))
      .then(() => this.#pump());
  }

  /** Sends what a generator yields, and returns what it returns. */
  async #drain({ call, ctx }: Running, stream: AsyncIterator<unknown> | Iterator<unknown>): Promise<unknown> {
    const { channel, clock } = this.#options;
    for (;;) {
      const step = await stream.next();
      if (step.done) return step.value;
      const frame = yieldFrame(call, await step.value);
      channel.sendText(typeof frame === "string" ? frame : await this.#storedYield(call, frame));
      if (channel.backlog > BACKLOG_MAX) await channel.drained();
      if (clock.now() >= this.#turnEndsAt) await (this.#round ??= this.#yield());
      if (!ctx.signal.aborted) continue;
      await stream.return?.();
      throw ctx.signal.reason;
    }
  }

  #succeed(running: Running, value: unknown): void {
    if (!this.#running.has(running.call)) return;
    const frame = resultFrame(running.call, value);
    if (typeof frame === "string") this.#end(running, frame);
    else this.#store(running, frame);
  }

  /** A result that is too large to travel is stored; the call has not ended before. */
  async #store(running: Running, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    try {
      this.#end(running, referenceFrame(running.call, await this.#options.values.saveValue(bytes)));
    } catch (error) {
      this.#fail(running, error);
    }
    this.#pump();
  }

  async #storedYield(call: number, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
    return yieldReferenceFrame(call, await this.#options.values.saveValue(bytes));
  }

  async #loaded({ $blob }: ValueReference): Promise<unknown> {
    return JSON.parse(new TextDecoder().decode(await this.#options.values.loadValue($blob)));
  }

  #end(running: Running, frame: string): void {
    const { channel } = this.#options;
    if (channel.away) running.ended ??= frame;
    else if (this.#running.delete(running.call)) channel.sendText(running.ended ?? frame);
  }

  #fail(running: Running, error: unknown): void {
    this.#end(running, errorFrame(running.call, error));
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null &&
    typeof (value as { then?: unknown }).then === "function";
}

/** Generators, and whatever else can be read asynchronously. Arrays and other collections are values. */
function isStream(value: unknown): value is AsyncIterator<unknown> | Iterator<unknown> {
  return typeof value === "object" && value !== null &&
    typeof (value as { next?: unknown }).next === "function" &&
    (Symbol.asyncIterator in value || Symbol.iterator in value);
}

/** Programs that the code starts find rank 0 by the names that torchrun gave the world. */
function tellChildren({ address, port }: NonNullable<CallFrame["master"]>): void {
  Deno.env.set("MASTER_ADDR", address);
  Deno.env.set("MASTER_PORT", String(port));
}
