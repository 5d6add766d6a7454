/** The two ways things end badly: Berth refuses (PlatformError) or the user's code failed (CallFailedError). */
import type { Failure } from "./protocol/calls.ts";
import type { ErrorCode } from "./protocol/errors.ts";

/**
 * Berth refused or could not do what was asked.
 *
 * @example
 * ```ts
 * import { Function, PlatformError } from "berth";
 *
 * export async function exists(app: string, name: string) {
 *   try {
 *     await Function.fromName(app, name).spawn();
 *     return true;
 *   } catch (error) {
 *     if (error instanceof PlatformError && error.code === "not_found") return false;
 *     throw error;
 *   }
 * }
 * ```
 */
export class PlatformError extends Error {
  override readonly name = "PlatformError";
  readonly code: ErrorCode;
  /** The input field that is to blame, as a dotted path. */
  readonly field: string | undefined;
  readonly requestId: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    more: { field?: string; requestId?: string; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.field = more.field;
    this.requestId = more.requestId;
    this.retryAfterMs = more.retryAfterMs;
  }
}

/**
 * A call ended without a result; `failure` says whose fault it was.
 *
 * @example
 * ```ts
 * import { CallFailedError, Function } from "berth";
 *
 * export async function lossOrTimeout(epochs: number) {
 *   try {
 *     return await Function.fromName<(input: { epochs: number }) => number>("digits", "train").remote({ epochs });
 *   } catch (error) {
 *     if (error instanceof CallFailedError && error.failure.kind === "timeout") return "timeout";
 *     throw error;
 *   }
 * }
 * ```
 */
export class CallFailedError extends Error {
  override readonly name = "CallFailedError";
  readonly callId: string;
  readonly failure: Failure;

  constructor(callId: string, failure: Failure) {
    super(`Call ${callId} failed (${failure.kind}): ${failure.message}`);
    this.callId = callId;
    this.failure = failure;
  }
}

/**
 * Thrown by a handler when another attempt cannot help: whatever `retries` says, there will be none.
 *
 * @example
 * ```ts
 * import { App, NonRetryableError } from "berth";
 *
 * const app = new App("shop");
 * export const charge = app.function({ retries: 5 }, (input: { cents: number }) => {
 *   if (input.cents < 0) throw new NonRetryableError("Cannot charge: the amount is negative");
 *   return { charged: input.cents };
 * });
 * ```
 */
export class NonRetryableError extends Error {
  override readonly name: string = "NonRetryableError";
  readonly retryable = false;
}
