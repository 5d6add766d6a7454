/**
 * The calls of one container, as a conversation: what the guest is sent, what it answers, and what is reported of it. No I/O of
 * its own; a container feeds it claims, frames and the passing of time.
 */
import {
  type Exit,
  type Failure,
  type FunctionSpec,
  type Json,
  LIMITS,
  type LogRecord,
  type Report,
} from "../sdk/protocol.ts";
import { formatDuration, parseDuration } from "../sdk/duration.ts";
import { CallLine, type Doom, type DoomReason, type HeldCall, type HeldLease } from "./calls.ts";
import { matched } from "./adopted.ts";
import { callFrame } from "./host_frames.ts";
import { failureOfDoom, failureOfExit, LOST_TRACK } from "./exits.ts";
import type { Resumes } from "./frames.ts";
import { cutText } from "./lines.ts";
import { guestAhead, heldAhead, isStuck, type Pace, paced, slowed, UNKNOWN_PACE } from "./lookahead.ts";
import type { Outbox } from "./outbox.ts";
import type { Redactor } from "./redact.ts";

export interface WorkDeps {
  readonly container: string;
  readonly spec: Pick<FunctionSpec, "concurrency" | "timeout" | "methods">;
  /** Time from the notice to the kill of a call that must end. */
  readonly graceMs: number;
  readonly outbox: Outbox;
  now(): number;
  /** Queues one frame for the guest. */
  send(frame: string): void;
  /** Characters queued that the guest's socket has not taken. */
  backlog(): number;
  /** CPU time of the guest so far, microseconds. */
  cpuUs(): number;
  /** A call did not end in its grace time: kill the guest. */
  kill(why: DoomReason): void;
  /** Whether the guest may have printed to its pipes what has not been read. */
  printing(): boolean;
  /** Resolves once what it printed so far was read. */
  quiet(): Promise<void>;
  /** It has ended calls and could do with more at once. */
  hungry(): void;
  /** Takes secrets out of what is told of it. */
  readonly redactor: () => Redactor;
}

export type LogStream = LogRecord[4];

/** What the guest said that it must not say, in a clause; null when all is well. */
export type Violation = string | null;

const BACKLOG_MAX = 256 * 1024;
/** A call that lasts longer is worth an event of its own when it starts. */
const STARTED_AFTER_MS = 100;

export class Work {
  readonly #deps: WorkDeps;
  readonly #line: CallLine;
  readonly #timeoutMs: number;
  #pace: Pace = UNKNOWN_PACE;
  #closed = false;
  #recalling = false;
  /** The doom of all that runs, once notice was given. */
  #preemption: Doom | null = null;
  /** Reports made since the last turn, to share the CPU time of that turn. */
  #turn: Report[] = [];
  #turnMs = 0;
  #cpuUs = 0;
  /** Calls that an earlier runner gave the guest, until that says which of them run. */
  #adopted: HeldCall[] = [];
  /** Ended calls whose last lines may still be in a pipe. */
  #settling: { readonly call: HeldCall; readonly report: Report; readonly characters: number }[] = [];

  constructor(deps: WorkDeps) {
    this.#deps = deps;
    this.#line = new CallLine(deps.spec.concurrency);
    this.#timeoutMs = parseDuration(deps.spec.timeout);
  }

  /** True when it holds no call. */
  get idle(): boolean {
    return this.#line.size + this.#adopted.length + this.#settling.length === 0;
  }

  /** How many more calls it may be given, when it may hold `share` beyond those that run. */
  free(share: number): number {
    if (this.#closed) return 0;
    const { concurrency } = this.#deps.spec;
    return Math.max(0, concurrency + heldAhead(this.#pace, concurrency, share) - this.#line.size);
  }

  give(lease: HeldLease): void {
    if (this.#closed) return this.#giveBack(lease.calls);
    for (const call of lease.calls) this.#line.add(call);
    this.#pump();
  }

  /** Takes up what an earlier runner gave the guest. */
  adopt(leases: readonly HeldLease[]): void {
    this.#adopted = leases.flatMap(({ calls }) => calls);
  }

  /** The guest is back, and says what runs in it: that goes on, and the rest is done again. */
  resume(resumes: Resumes): void {
    const { spec: { methods }, now } = this.#deps;
    const isStream = (method: string) => methods.some(({ name, stream }) => name === method && stream);
    const { going, doomed, lost } = matched(this.#adopted, resumes, { now: now(), isStream });
    this.#adopted = [];
    this.#line.resume(resumes.next, [...going, ...doomed]);
    for (const call of lost) this.#report(call, this.#reportOf(call, 1, LOST_TRACK), 0);
  }

  /** The call to which printed text belongs: the one that has run longest. */
  get speaker(): HeldCall | undefined {
    return this.#settling[0]?.call ?? this.#line.oldestRunning;
  }

  /** The running call of this number, for requests that are made on its behalf. */
  running(number: number): HeldCall | undefined {
    return this.#line.runs(number);
  }

  // ── what the guest says ─────────────────────────────────────────────────────────────────────────────────────────────

  result(number: number, value: Json, characters: number): Violation {
    const call = this.#line.runs(number);
    if (call === undefined) return this.#unexpected(number, "a result");
    if (tooLarge(value, characters)) {
      this.#fail(
        call,
        `The result is larger than ${LIMITS.resultBytes} bytes: store it elsewhere and return where`,
        false,
      );
    } else this.#finish(call, 0, value, characters);
    return null;
  }

  error(number: number, failure: Omit<Failure, "kind">): Violation {
    const call = this.#line.runs(number);
    if (call === undefined) return this.#unexpected(number, "an error");
    const told = this.#deps.redactor().failure(failure);
    this.#finish(call, 1, { kind: "user_error", ...told }, told.message.length + (told.stack?.length ?? 0));
    return null;
  }

  recalled(numbers: readonly number[]): Violation {
    if (!this.#recalling) return "a recall that nobody asked for";
    this.#recalling = false;
    const calls = numbers.map((number) => this.#line.inGuest(number)).filter((call) => call !== undefined);
    const now = this.#deps.now();
    for (const call of calls) this.#line.remove(call, now);
    this.#giveBack(calls);
    return null;
  }

  log(number: number, stream: LogStream, text: string): Violation {
    return this.#about(number, (call) => this.say(call, stream, cutText(text)));
  }

  event(
    number: number,
    kind: "report" | "progress" | "yield",
    data: Record<string, Json>,
    characters: number,
  ): Violation {
    if (tooLarge(data, characters)) return `an event larger than ${LIMITS.resultBytes} bytes`;
    // What is yielded is for who calls, as what is returned.
    const told = kind === "yield" ? data : this.#deps.redactor().json(data) as typeof data;
    return this.#about(number, (call) => {
      this.#tellStarted(call);
      this.#deps.outbox.event(
        [call.lease.id, call.index, call.told++, this.#deps.now(), kind, told],
        characters,
      );
    });
  }

  /** A log line of a call. */
  say(call: HeldCall, stream: LogStream, text: string): void {
    this.#tellStarted(call);
    const line = cutText(this.#deps.redactor().line(text)); // labels may have made it longer
    this.#deps.outbox.log([call.lease.id, call.index, call.told++, this.#deps.now(), stream, line]);
  }

  /** All that came in one read was told: learn the pace, share the CPU time, send what fits now. */
  endOfTurn(): void {
    const calls = this.#turn.length;
    if (calls > 0) {
      this.#pace = paced(this.#pace, this.#turnMs / calls, calls);
      this.#shareCpu();
      this.#turn = [];
      this.#turnMs = 0;
    }
    this.#pump();
    if (calls > 0 && this.#line.waiting === 0) this.#deps.hungry();
  }

  // ── what must happen by itself ──────────────────────────────────────────────────────────────────────────────────────

  /** Ends calls that ran too long, kills for those that would not end, gives back those that are stuck. */
  tick(now: number): void {
    for (const call of this.#line.running) {
      call.doom ??= this.#preemption;
      if (call.doom === null && now - call.startedAt > this.#timeoutMs) {
        call.doom = { why: "timeout", killAt: null };
      }
      if (call.doom !== null && this.#pursue(call, call.doom, now)) return;
      if (now - call.startedAt >= STARTED_AFTER_MS) this.#tellStarted(call);
    }
    this.#unstick(now);
  }

  cancel(call: HeldCall): void {
    if (call.state === "done" || (call.doom !== null && call.doom !== this.#preemption)) return;
    if (call.state === "waiting") {
      const now = this.#deps.now();
      this.#line.remove(call, now);
      this.#deps.outbox.report(call.lease.id, [call.index, 2, null, now, now, 0], 0);
      return;
    }
    call.doom = { why: "cancelled", killAt: null };
    if (call.state === "running" && call.number >= 0) this.#pursue(call, call.doom, this.#deps.now());
  }

  /** Takes no more calls and gives back those that have not started. */
  close(): void {
    this.#closed = true;
    this.#giveBack(this.#line.takeWaiting());
    this.#recall();
  }

  /** Gives notice to all that runs: it is killed after `noticeMs`. */
  preempt(noticeMs: number): void {
    this.close();
    this.#preemption = { why: "preempted", killAt: this.#deps.now() + noticeMs };
    if (this.#line.running.size === 0) return;
    for (const call of this.#line.running) {
      this.say(
        call,
        "system",
        `It gives way to more important work and has ${formatDuration(noticeMs)} to end`,
      );
    }
    this.#deps.send(`{"t":"preempt","deadlineMs":${noticeMs}}\n`);
  }

  /** Tells all that runs to end. */
  stop(): void {
    this.close();
    const now = this.#deps.now();
    for (const call of this.#line.running) {
      call.doom ??= this.#preemption ?? { why: "stopped", killAt: null };
      this.#pursue(call, call.doom, now);
    }
  }

  /** The guest is gone: every call it had gets its report. */
  end(exit: Exit): void {
    this.#closed = true;
    this.#settle();
    const { ran, unstarted } = this.#line.takeAll();
    for (const call of [...ran, ...this.#adopted.splice(0)]) {
      this.#report(call, this.#reportOf(call, 1, failureOfExit(exit)), exit.message.length);
    }
    this.#giveBack(unstarted);
  }

  // ── details ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #pump(): void {
    if (this.#closed || this.#recalling || this.#settling.length > 0) return;
    const { spec: { concurrency }, backlog, now, send } = this.#deps;
    const ahead = this.#deps.printing() ? 0 : guestAhead(this.#pace, concurrency);
    const at = now();
    while (this.#line.waiting > 0 && this.#line.ahead < ahead || this.#line.running.size < concurrency) {
      if (this.#line.running.size >= concurrency && backlog() > BACKLOG_MAX) return;
      const call = this.#line.take(at);
      if (call === undefined) return;
      send(callFrame(call));
      call.input = null;
    }
  }

  #finish(call: HeldCall, outcome: 0 | 1, value: Report[2], characters: number): void {
    const report = this.#reportOf(call, outcome, value);
    this.#line.remove(call, report[4]);
    this.#turn.push(report);
    this.#turnMs += report[4] - report[3];
    if (!this.#deps.printing()) return this.#report(call, report, characters);
    this.#settling.push({ call, report, characters });
    if (this.#settling.length === 1) this.#deps.quiet().then(() => this.#settle());
  }

  /** What a call ended in; one that was made to end has ended in that, whatever the guest says. */
  #reportOf(call: HeldCall, outcome: 0 | 1, value: Report[2]): Report {
    const now = this.#deps.now();
    const doom = call.doom ?? this.#preemption;
    if (doom === null || (outcome === 0 && (doom.why === "stopped" || doom.why === "preempted"))) {
      return [call.index, outcome, value, call.startedAt, now, 0];
    }
    const failure = failureOfDoom(doom.why, this.#deps.spec.timeout);
    return [call.index, failure === null ? 2 : 1, failure, call.startedAt, now, 0];
  }

  #fail(call: HeldCall, message: string, retryable: boolean): void {
    this.#finish(call, 1, { kind: "user_error", message, retryable }, message.length);
  }

  #settle(): void {
    for (const { call, report, characters } of this.#settling.splice(0)) {
      this.#report(call, report, characters);
    }
    this.#pump();
    if (this.#line.waiting === 0) this.#deps.hungry();
  }

  #report(call: HeldCall, report: Report, characters: number): void {
    this.#deps.outbox.report(call.lease.id, report, characters);
  }

  #giveBack(calls: readonly HeldCall[]): void {
    const now = this.#deps.now();
    for (const call of calls) {
      const outcome = call.doom?.why === "cancelled" ? 2 : 3;
      this.#report(call, [call.index, outcome, null, now, now, 0], 0);
    }
  }

  /** What an earlier runner was told already may come again. */
  #unexpected(number: number, what: string): Violation {
    return this.#line.isEarlier(number) ? null : `${what} for call ${number}, which does not run`;
  }

  #about(number: number, tell: (call: HeldCall) => void): Violation {
    const call = this.#line.runs(number);
    if (call !== undefined) tell(call);
    // What a call leaves running may speak after its end; nobody listens, and nobody is to blame.
    return call === undefined && !this.#line.known(number)
      ? `a frame for call ${number}, which it was never given`
      : null;
  }

  #tellStarted(call: HeldCall): void {
    if (call.told > 0) return;
    const { container, outbox } = this.#deps;
    outbox.event([call.lease.id, call.index, call.told++, call.startedAt, "started", { container }], 0);
  }

  /** Notice, then, after the grace time, kill. True when it killed. */
  #pursue(call: HeldCall, doom: NonNullable<HeldCall["doom"]>, now: number): boolean {
    if (doom.killAt === null) {
      doom.killAt = now + this.#deps.graceMs;
      const reason = doom.why === "timeout" ? "timeout" : "cancelled";
      this.#deps.send(`{"t":"cancel","c":${call.number},"reason":"${reason}"}\n`);
    } else if (now >= doom.killAt) {
      this.#deps.kill(doom.why);
      return true;
    }
    return false;
  }

  #unstick(now: number): void {
    const next = this.#line.oldestUnstarted;
    const first = this.#line.oldestRunning;
    if (next === undefined || first === undefined) return;
    const runningMs = now - first.startedAt;
    if (!isStuck({ waitedMs: now - next.givenAt, runningMs })) return;
    this.#pace = slowed(this.#pace, runningMs);
    this.#giveBack(this.#line.takeWaiting());
    this.#recall();
  }

  #recall(): void {
    if (this.#recalling || this.#line.ahead === 0) return;
    this.#recalling = true;
    this.#deps.send('{"t":"recall"}\n');
  }

  #shareCpu(): void {
    const total = this.#deps.cpuUs();
    const each = Math.floor((total - this.#cpuUs) / this.#turn.length);
    this.#cpuUs = total;
    if (each > 0) { for (const report of this.#turn) report[5] = each; }
  }
}

/** Is a value, received in a frame of `characters`, larger than the limit? Exact, but only measured when it is near. */
function tooLarge(value: Json, characters: number): boolean {
  const bytesMax = 3 * characters;
  if (bytesMax <= LIMITS.resultBytes) return false;
  return new TextEncoder().encode(JSON.stringify(value)).length > LIMITS.resultBytes;
}
