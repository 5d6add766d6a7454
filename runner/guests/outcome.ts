/** What came of a call, as the frame that says so. Pure. */
import { LIMITS } from "../../sdk/protocol/limits.ts";

/** A value that cannot travel. Another attempt would return the same. */
const unsendable = (message: string, cause?: unknown): Error =>
  Object.assign(new TypeError(message, { cause }), { name: "Error", retryable: false });

/** The `result` frame of a value; an `error` frame when it cannot travel. */
export function resultFrame(call: number, value: unknown): string {
  if (value === undefined) return `{"t":"result","c":${call}}`;
  try {
    return `{"t":"result","c":${call},"v":${jsonOf(value, "return")}}`;
  } catch (error) {
    return errorFrame(call, error);
  }
}

/** The `event` frame of one yield. Throws when the value cannot travel. */
export function yieldFrame(call: number, value: unknown): string {
  return `{"t":"event","c":${call},"kind":"yield","data":{"value":${
    value === undefined ? null : jsonOf(value, "yield")
  }}}`;
}

/** The `error` frame of whatever was thrown. */
export function errorFrame(call: number, thrown: unknown): string {
  const { message, stack } = describeError(thrown);
  const retryable = (thrown as { retryable?: unknown } | null | undefined)?.retryable !== false;
  return JSON.stringify({ t: "error", c: call, message, stack, retryable });
}

/** Message and stack of whatever was thrown, within the limits, causes included. */
export function describeError(thrown: unknown): { message: string; stack: string | undefined } {
  if (!(thrown instanceof Error)) {
    return {
      message: cut(`Threw ${inspect(thrown)}, which is no Error`, LIMITS.failureMessageLength),
      stack: undefined,
    };
  }
  const { name, message, cause } = thrown;
  const sentence = name === "Error" || message.startsWith(name) ? message : `${name}: ${message}`;
  const causes = cause === undefined ? "" : `\nCaused by: ${describeError(cause).stack ?? inspect(cause)}`;
  const stack = userFrames(String(thrown.stack ?? "")) + causes;
  return {
    message: cut(sentence, LIMITS.failureMessageLength),
    stack: cut(stack, LIMITS.failureStackLength),
  };
}

function jsonOf(value: unknown, verb: "return" | "yield"): string {
  if (ArrayBuffer.isView(value)) {
    throw unsendable(`Cannot ${verb} bytes: results are JSON; encode them, or save a checkpoint`);
  }
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw unsendable(`Cannot ${verb} this value: results are JSON. ${(cause as Error).message}`, cause);
  }
  if (text === undefined) throw unsendable(`Cannot ${verb} a ${typeof value}: results are JSON`);
  const bytes = text.length * 3 > LIMITS.resultBytes ? new TextEncoder().encode(text).length : text.length;
  if (bytes <= LIMITS.resultBytes) return text;
  throw unsendable(
    `Cannot ${verb} ${bytes} bytes: at most ${LIMITS.resultBytes} may travel; save a checkpoint instead`,
  );
}

const OUR_FOLDER = new URL(".", import.meta.url).href;

/** The stack without the guest's own lines, which say nothing to a user. */
function userFrames(stack: string): string {
  return stack.split("\n").filter((line) => !line.includes(OUR_FOLDER)).join("\n");
}

function inspect(value: unknown): string {
  try {
    return typeof value === "string" ? JSON.stringify(value) : JSON.stringify(value) ?? String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
