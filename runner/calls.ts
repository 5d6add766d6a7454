/**
 * The calls of one container, from given to ended, in the order they came. Pure: it only moves them.
 *
 * ```
 * waiting ─take→ sent ─promote→ running ─finish→ done
 *    └────────────┴── drop ──────────────────────▲
 * ```
 * A guest starts calls in the order they were sent, `concurrency` at a time: so the first `concurrency` unfinished ones *are*
 * those that run, and nobody has to say so.
 */
import type { Json, Master } from "../sdk/protocol.ts";

/** A claim as the runner keeps it until every report of it has arrived. */
export interface HeldLease {
  readonly id: number;
  readonly container: string;
  readonly batch: number;
  readonly lo: number;
  readonly attempt: number;
  readonly method: string;
  /** Of a gang: where rank 0 listens for the others. */
  readonly master?: Master | undefined;
  readonly calls: HeldCall[];
}

/**
 * Why a running call must end. `stopped`: its container must. `preempted`: it does so for more important work. `lost`: the runner
 * that knew what it had told is gone.
 */
export type DoomReason = "cancelled" | "timeout" | "stopped" | "preempted" | "lost";
/** `killAt` is when its process is killed for it; null before the guest was told. */
export interface Doom {
  readonly why: DoomReason;
  killAt: number | null;
}

export interface HeldCall {
  readonly lease: HeldLease;
  /** Its place in the batch. */
  readonly index: number;
  /** Let go once it was sent. */
  input: Json;
  state: "waiting" | "sent" | "running" | "done";
  /** Its number within the guest; -1 before it was sent, or while nobody knows it. */
  number: number;
  givenAt: number;
  startedAt: number;
  /** Log lines and events told so far. */
  told: number;
  doom: Doom | null;
}

/** First in, first out, without moving what stays. */
export class Fifo<T> {
  #items: T[] = [];
  #head = 0;

  push(item: T): void {
    this.#items.push(item);
  }

  peek(): T | undefined {
    return this.#items[this.#head];
  }

  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    if (++this.#head > 1_024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}

export class CallLine {
  readonly #concurrency: number;
  readonly #waiting = new Fifo<HeldCall>();
  readonly #sent = new Fifo<HeldCall>();
  readonly #byNumber = new Map<number, HeldCall>();
  readonly running = new Set<HeldCall>();
  #waitingCount = 0;
  #next = 0;
  #firstOwn = 0;

  constructor(concurrency: number) {
    this.#concurrency = concurrency;
  }

  /** Calls that have not ended. */
  get size(): number {
    return this.#waitingCount + this.#byNumber.size;
  }

  /** Calls in the guest that have not started. */
  get ahead(): number {
    return this.#byNumber.size - this.running.size;
  }

  get waiting(): number {
    return this.#waitingCount;
  }

  /** The call that has run longest. */
  get oldestRunning(): HeldCall | undefined {
    return this.running.values().next().value;
  }

  /** The call that is to start next. */
  get oldestUnstarted(): HeldCall | undefined {
    return head(this.#sent, "sent") ?? head(this.#waiting, "waiting");
  }

  add(call: HeldCall): void {
    this.#waiting.push(call);
    this.#waitingCount++;
  }

  /** Takes the next call to send and numbers it. It runs at once when a slot is free. */
  take(now: number): HeldCall | undefined {
    const call = head(this.#waiting, "waiting");
    if (call === undefined) return undefined;
    this.#waiting.shift();
    this.#waitingCount--;
    call.state = "sent";
    call.number = this.#next++;
    this.#byNumber.set(call.number, call);
    this.#sent.push(call);
    this.#promote(now);
    return call;
  }

  /** Takes up calls that run already, with their numbers, which lie below `next`. */
  resume(next: number, running: readonly HeldCall[]): void {
    this.#next = this.#firstOwn = next;
    for (const call of running) {
      this.#byNumber.set(call.number, call);
      this.running.add(call);
    }
  }

  /** Was this number ever given to the guest? */
  known(number: number): boolean {
    return number < this.#next;
  }

  /** Was it given by an earlier runner? */
  isEarlier(number: number): boolean {
    return number < this.#firstOwn;
  }

  /** The call of this number while it runs. */
  runs(number: number): HeldCall | undefined {
    const call = this.#byNumber.get(number);
    return call?.state === "running" ? call : undefined;
  }

  /** The call of this number while it is in the guest. */
  inGuest(number: number): HeldCall | undefined {
    return this.#byNumber.get(number);
  }

  /** Ends a call, wherever it is, and starts the next. */
  remove(call: HeldCall, now: number): void {
    if (call.state === "waiting") this.#waitingCount--;
    this.#byNumber.delete(call.number);
    this.running.delete(call);
    call.state = "done";
    this.#promote(now);
  }

  /** Removes and returns all calls that are still in the runner. */
  takeWaiting(): HeldCall[] {
    const calls: HeldCall[] = [];
    for (let call = this.#waiting.shift(); call !== undefined; call = this.#waiting.shift()) {
      if (call.state === "waiting") calls.push(call);
    }
    for (const call of calls) call.state = "done";
    this.#waitingCount = 0;
    return calls;
  }

  /** Removes and returns all calls, those that ran first. */
  takeAll(): { ran: HeldCall[]; unstarted: HeldCall[] } {
    const ran = [...this.running];
    const sent = [...this.#byNumber.values()].filter((call) => call.state === "sent");
    for (const call of [...ran, ...sent]) call.state = "done";
    this.running.clear();
    this.#byNumber.clear();
    return { ran, unstarted: [...sent, ...this.takeWaiting()] };
  }

  #promote(now: number): void {
    while (this.running.size < this.#concurrency) {
      const call = head(this.#sent, "sent");
      if (call === undefined) return;
      this.#sent.shift();
      call.state = "running";
      call.startedAt = now;
      this.running.add(call);
    }
  }
}

/** The first call that is still in `state`; those that left the line out of turn are skipped for good. */
function head(line: Fifo<HeldCall>, state: HeldCall["state"]): HeldCall | undefined {
  for (;;) {
    const call = line.peek();
    if (call === undefined || call.state === state) return call;
    line.shift();
  }
}
