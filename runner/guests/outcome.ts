/** What came of a call, as the frame that says so. Pure. */
import { LIMITS } from "../../sdk/protocol/limits.ts";
import { isReferenceText, referenceText } from "../../sdk/protocol/reference.ts";

/** A value that cannot travel. Another attempt would return the same. */
const unsendable = (message: string, cause?: unknown): Error =>
  Object.assign(new TypeError(message, { cause }), { name: "Error", retryable: false });

/** The `result` frame of a value; an `error` frame when it cannot travel; its JSON when that is too large for a frame. */
export function resultFrame(call: number, value: unknown): string | Uint8Array<ArrayBuffer> {
  if (value === undefined) return `{"t":"result","c":${call}}`;
  try {
    const sent = outgoing(value, "return");
    return typeof sent === "string" ? `{"t":"result","c":${call},"v":${sent}}` : sent;
  } catch (error) {
    return errorFrame(call, error);
  }
}

/** The `result` frame of a value that has been stored. */
export const referenceFrame = (call: number, id: string): string =>
  `{"t":"result","c":${call},"v":${referenceText(id)}}`;

/** The `event` frame of one yield; its JSON when that is too large for a frame. Throws when the value cannot travel. */
export function yieldFrame(call: number, value: unknown): string | Uint8Array<ArrayBuffer> {
  const sent = value === undefined ? "null" : outgoing(value, "yield");
  return typeof sent === "string" ? yielded(call, sent) : sent;
}

/** The same of a value that has been stored. */
export const yieldReferenceFrame = (call: number, id: string): string => yielded(call, referenceText(id));

const yielded = (call: number, text: string): string =>
  `{"t":"event","c":${call},"kind":"yield","data":{"value":${text}}}`;

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

/** The JSON of a value; as bytes when it must be stored, being too large for a frame or what would be taken for a reference. */
function outgoing(value: unknown, verb: "return" | "yield"): string | Uint8Array<ArrayBuffer> {
  const text = jsonOf(value, verb);
  const large = largeBytes(text);
  if (large !== null) return storable(large, verb);
  return isReferenceText(text) ? new TextEncoder().encode(text) : text;
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
  return text;
}

/** The text as bytes, when they are more than a frame should hold. Most texts are too short to be encoded for that. */
function largeBytes(text: string): Uint8Array<ArrayBuffer> | null {
  if (text.length * 3 <= LIMITS.resultBytes) return null;
  const bytes = new TextEncoder().encode(text);
  return bytes.length > LIMITS.resultBytes ? bytes : null;
}

function storable(bytes: Uint8Array<ArrayBuffer>, verb: "return" | "yield"): Uint8Array<ArrayBuffer> {
  const most = LIMITS.valueBytes;
  if (bytes.length <= most) return bytes;
  throw unsendable(
    `Cannot ${verb} ${bytes.length} bytes: at most ${most} may travel; save a checkpoint instead`,
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
