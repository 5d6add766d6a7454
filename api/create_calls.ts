/** Creating calls: one input or thousands, once per idempotency key, and waiting for the result when that is preferred. */
import { findByIdempotencyKey, type Submission } from "../scheduler/store/calls.ts";
import { parseDuration } from "../sdk/duration.ts";
import { PlatformError } from "../sdk/errors.ts";
import {
  type CallKey,
  type CreateCalls,
  type CreatedCalls,
  formatBatchId,
  formatCallId,
  LIMITS,
} from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { hashOf } from "./auth.ts";
import { type Context, Reply } from "./serve.ts";
import { valuesOf } from "./values.ts";
import { finishedCall } from "./wait.ts";

const KEY_LENGTH_MAX = 255;

export async function createCalls(
  deps: ApiDeps,
  body: CreateCalls,
  context: Context,
): Promise<CreatedCalls | Reply> {
  const { callables, enqueue } = deps;
  const idempotencyKey = idempotencyKeyOf(context);
  const wanted = { workspace: context.workspace, app: body.app, method: body.function };
  const functionId = await callables.find(wanted);
  const values = await valuesOf(deps, context.workspace, body);
  const { text } = context;
  const submission = submissionOf(deps, body, { ...wanted, functionId, text, idempotencyKey, values });
  await callables.reserve(functionId, submission.size);
  const batch = await enqueue.submit(submission) ?? await repeated(deps, submission);
  return body.inputs === undefined
    ? await answerOne(deps, { batch, index: 0 }, context)
    : created(batch, submission.size);
}

/** The calls of a batch, as they are when it has just been made: a repeated request gets the same answer. */
export function created(batch: number, size: number): CreatedCalls {
  const calls = Array.from(
    { length: size },
    (_, index) => ({ id: formatCallId({ batch, index }), state: "queued" as const }),
  );
  return { batch: formatBatchId(batch), calls };
}

/** With `Prefer: wait=N`, the finished call if it ends in time. */
async function answerOne(deps: ApiDeps, key: CallKey, context: Context): Promise<CreatedCalls | Reply> {
  const seconds = preferredWait(context.header("prefer"));
  if (seconds === null) return created(key.batch, 1);
  const headers = { "preference-applied": `wait=${seconds}` };
  const { workspace, signal: gone } = context;
  const call = await finishedCall(deps, { workspace, key, ms: seconds * 1_000, gone });
  return call === null
    ? new Reply(created(key.batch, 1), { headers })
    : new Reply(call, { status: 200, headers });
}

/** Seconds of `Prefer: wait=N`, at most what is allowed; a preference that we can't read is ignored, as RFC 7240 asks. */
export function preferredWait(header: string | undefined): number | null {
  const wait = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})"?/i.exec(header ?? "")?.[1];
  return wait === undefined ? null : Math.min(Number(wait), LIMITS.waitSeconds);
}

function idempotencyKeyOf(context: Context): string | undefined {
  const key = context.header("idempotency-key");
  if (key === undefined || (key.length > 0 && key.length <= KEY_LENGTH_MAX)) return key;
  const message =
    `Cannot accept the header Idempotency-Key: it must have 1 to ${KEY_LENGTH_MAX} characters, not ${key.length}`;
  throw new PlatformError("invalid_request", message, { field: "idempotency-key" });
}

interface Target {
  readonly workspace: string;
  readonly app: string;
  readonly method: string;
  readonly functionId: number;
  readonly text: string;
  readonly idempotencyKey: string | undefined;
  readonly values: readonly string[];
}

function submissionOf({ clock }: ApiDeps, body: CreateCalls, target: Target): Submission {
  const { inputs, size } = inputsOf(body, target.text.length);
  const { idempotencyKey, app, method, text, values } = target;
  const after = (duration: string | undefined) =>
    duration === undefined ? undefined : new Date(clock.now() + parseDuration(duration));
  return {
    workspaceId: target.workspace,
    functionId: target.functionId,
    method,
    inputs,
    size,
    priority: body.priority,
    concurrencyKey: body.concurrencyKey,
    tags: body.tags,
    dueAt: after(body.delay),
    expiresAt: after(body.ttl),
    values,
    ...(idempotencyKey === undefined
      ? {}
      : { idempotencyKey, requestHash: hashOf(`${app}/${method}\n${text}`) }),
  };
}

/** Inputs as the text of one JSON array. Only of a body that is longer than an input may be, each input is measured. */
function inputsOf({ input, inputs }: CreateCalls, bodyLength: number): { inputs: string; size: number } {
  const all = inputs ?? [input!];
  if (bodyLength * UTF8_BYTES_MAX <= LIMITS.inputBytes) {
    return { inputs: JSON.stringify(all), size: all.length };
  }
  const texts = all.map((one) => JSON.stringify(one));
  texts.forEach((text, i) => checkSize(text, inputs === undefined ? "input" : `inputs.${i}`));
  return { inputs: `[${texts.join(",")}]`, size: all.length };
}

/** Bytes that one UTF-16 unit may take. */
const UTF8_BYTES_MAX = 3;

function checkSize(text: string, field: string): void {
  if (text.length * UTF8_BYTES_MAX <= LIMITS.inputBytes) return;
  const bytes = new TextEncoder().encode(text).byteLength;
  if (bytes <= LIMITS.inputBytes) return;
  const message =
    `Cannot accept \`${field}\`: it has ${bytes} bytes, at most ${LIMITS.inputBytes} are allowed`;
  throw new PlatformError("too_large", message, { field });
}

/** The batch that this request made when it came before; another request under the same key is refused. */
async function repeated(
  { sql }: ApiDeps,
  { workspaceId, idempotencyKey, requestHash }: Submission,
): Promise<number> {
  const before = await findByIdempotencyKey(sql, workspaceId, idempotencyKey!);
  if (before?.requestHash === requestHash) return before!.id;
  const message =
    `Cannot use Idempotency-Key "${idempotencyKey}": another request was made under it, take a new key`;
  throw new PlatformError("idempotency_mismatch", message, { field: "idempotency-key" });
}
