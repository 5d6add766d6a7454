/** Why a container ended, told apart from what was seen of it. Pure. */
import { parseDuration } from "../sdk/duration.ts";
import { type Assignment, type Exit, type Failure, LIMITS } from "../sdk/protocol.ts";
import type { DoomReason } from "./calls.ts";
import type { GuestExit } from "./engine.ts";

/** What the runner itself decided about the container before it ended, the gravest last. */
export type Verdict =
  | { readonly kind: "stopped"; readonly message: string }
  | { readonly kind: Exclude<Exit["kind"], "stopped" | "node_lost">; readonly message: string };

export interface Ending {
  readonly exit: GuestExit;
  /** Why we killed it or told it to leave, if we did. */
  readonly verdict: Verdict | null;
  readonly wasReady: boolean;
  /** The last of what it printed to stderr. */
  readonly stderr: string;
  readonly memoryMiB: number;
  /** Memory when it was last looked at. */
  readonly seenMemoryMiB: number;
}

const HEAP_EXHAUSTED =
  /heap out of memory|Out of memory|allocation failed|MemoryError|std::bad_alloc|Array buffer allocation failed/i;
const CRASH_SIGNALS = ["SIGTRAP", "SIGABRT", "SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE"];
/** A SIGKILL that nobody here sent, this near the limit, was the kernel's memory killer. */
const NEAR_LIMIT = 0.9;

export function causeOf(ending: Ending): Exit {
  const { kind, message } = ending.verdict ?? ending.exit.known ?? unasked(ending);
  return { kind, message: message.slice(0, LIMITS.failureMessageLength) };
}

function unasked(ending: Ending): Exit {
  const { exit: { code, signal }, wasReady, stderr, memoryMiB } = ending;
  if (ranOutOfMemory(ending)) {
    return { kind: "out_of_memory", message: `The process ran out of memory: it may use ${memoryMiB} MiB` };
  }
  if (!wasReady) {
    return {
      kind: "start_failed",
      message: withTail(`The process ended while it started (${how(code, signal)})`, stderr),
    };
  }
  if (signal === null) {
    return {
      kind: "user_error",
      message: withTail(`The function ended its own process (exit code ${code})`, code === 0 ? "" : stderr),
    };
  }
  if (CRASH_SIGNALS.includes(signal)) {
    return { kind: "user_error", message: withTail(`The process crashed (${signal})`, stderr) };
  }
  return { kind: "node_lost", message: `The process was killed from outside (${signal})` };
}

function ranOutOfMemory({ exit: { code, signal }, stderr, memoryMiB, seenMemoryMiB }: Ending): boolean {
  if (signal === "SIGKILL") return seenMemoryMiB > memoryMiB * NEAR_LIMIT;
  const crashed = signal === "SIGTRAP" || signal === "SIGABRT" || code === 133 || code === 134;
  return crashed && HEAP_EXHAUSTED.test(stderr);
}

/** It broke the rules of the guest protocol. */
export const spokeOutside = (reason: string, wasReady: boolean): Verdict => ({
  kind: wasReady ? "user_error" : "start_failed",
  message: `The function spoke outside the guest protocol: ${reason}`,
});

/** @param said the last lines that it printed */
export function neverReady(startTimeout: string, missing: string, said: string): Verdict {
  const sentence = `It was not ready within ${startTimeout}: ${missing}`;
  return { kind: "start_failed", message: said === "" ? sentence : `${sentence}. It printed:\n${said}` };
}

/** How one ended that an earlier runner had, and this one did not get to speak to. Nobody is to blame but the node. */
export const notTakenOver = ({ kind, message }: Exit): Exit =>
  kind === "start_failed"
    ? {
      kind: "node_lost",
      message: `The runner of the node was started anew, and could not take it over: ${message}`,
    }
    : { kind, message };

/** Of a container that was killed for a call. */
export const overstayed = (why: "timeout" | "cancelled", timeout: string): Verdict => ({
  kind: why,
  message: why === "timeout"
    ? `A call ran longer than ${timeout} and did not end when it was told to`
    : "A cancelled call did not end when it was told to",
});

export const usedTooMuch = (usedMiB: number, mayMiB: number): Verdict => ({
  kind: "out_of_memory",
  message: `It used ${usedMiB} MiB of memory and may use ${mayMiB} MiB`,
});

const how = (code: number, signal: string | null): string => signal ?? `exit code ${code}`;

function withTail(sentence: string, stderr: string): string {
  const tail = stderr.trim().split("\n").slice(-12).join("\n");
  return tail === "" ? sentence : `${sentence}: ${tail}`;
}

/** How a call that ran in a container failed when the container ended. */
export function failureOfExit({ kind, message }: Exit): Failure {
  if (kind === "timeout" || kind === "cancelled") {
    return {
      kind: "preempted",
      message: "Another call of its container did not end and had to be killed",
      retryable: true,
    };
  }
  if (kind === "stopped") return PREEMPTED;
  return { kind, message, retryable: true };
}

const PREEMPTED: Failure = {
  kind: "preempted",
  message: "Its container was stopped while it ran",
  retryable: true,
};

/** How a call failed that was made to end; null for a cancelled one, which is not a failure. */
/** Of a call that was under way when its runner was started anew. */
export const LOST_TRACK: Failure = {
  kind: "node_lost",
  message: "The runner of the node was started anew, and lost track of the call",
  retryable: true,
};

export function failureOfDoom(why: DoomReason, timeout: string): Failure | null {
  if (why === "cancelled") return null;
  if (why === "stopped") return PREEMPTED;
  if (why === "lost") return LOST_TRACK;
  if (why === "preempted") return { ...PREEMPTED, message: "It gave way to more important work" };
  return { kind: "timeout", message: `The call ran longer than its timeout of ${timeout}`, retryable: true };
}

/** Time for requests to a drained container's endpoints to end, beyond the grace time. */
const REQUESTS_MS = 30_000;

/** What requests have to end in a container that drains. */
export const requestsMs = ({ spec: { server } }: Assignment): number =>
  server === undefined ? REQUESTS_MS : parseDuration(server.drain);
