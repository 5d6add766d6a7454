/**
 * How requests reach the platform: over HTTP from outside, over the guest's own channel from inside a function. Here are
 * the repeats that make it survive a restart of the platform, and the refusals as errors.
 */
import type { z } from "zod";
import { PlatformError } from "./errors.ts";
import type { Clock, Fetch, Random } from "./ports.ts";
import type { ErrorCode } from "./protocol/errors.ts";
import type { Route } from "./protocol/route.ts";
import type { Output, RawInput } from "./protocol/routes.ts";

/** One request to the platform. */
export interface WireRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** From `/v1/`, with its query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly signal?: AbortSignal | undefined;
  /**
   * Whether it may be sent again when nobody knows if it arrived.
   * @default true for all but POST without an Idempotency-Key
   */
  readonly repeatable?: boolean;
  /**
   * Whether a refusal for want of room is thrown at once, since the caller knows what to do about it.
   * @default false
   */
  readonly refusable?: boolean | undefined;
}

/** Keeps values that are too large for a request. */
export interface ValueStore {
  /** Answers its id. */
  saveValue(bytes: Uint8Array<ArrayBuffer>): Promise<string>;
  loadValue(id: string): Promise<Uint8Array<ArrayBuffer>>;
}

/** Carries a request there and its answer back, once. Throws when there is no answer. */
export interface Transport {
  /** Where it leads, for messages. */
  readonly target: string;
  fetch(request: WireRequest): Promise<Response>;
  /** Its own way for large values. */
  readonly values?: ValueStore;
  /** The way to signed URLs, which stand in the place of a path: without a key. */
  readonly signed?: Transport;
}

/** All that an exchange needs of the world. */
export interface Wire {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  /** How long to go on trying while the platform cannot be reached. */
  readonly patienceMs: number;
}

/** The way from outside: HTTP with a key. */
export function httpTransport({ url, key, fetch }: { url: string; key: string; fetch: Fetch }): Transport {
  const base = url.replace(/\/+$/, "");
  const authorization = `Bearer ${key}`;
  return {
    target: base,
    fetch: ({ method, path, headers, body, signal }) =>
      fetch(base + path, {
        method,
        headers: {
          authorization,
          ...(typeof body === "string" ? { "content-type": "application/json" } : {}),
          ...headers,
        },
        body: body ?? null,
        signal: signal ?? null,
      }),
    signed: {
      target: "the store of blobs",
      fetch: ({ method, path, headers = {}, body, signal }) =>
        fetch(new URL(path, base), { method, headers, body: body ?? null, signal: signal ?? null }),
    },
  };
}

const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 1_000;

/**
 * Sends a request until it is answered and the answer is read: again after a lost connection, a restart or a refusal for
 * want of room, as long as there is patience. Answers other than 2xx are thrown as PlatformError.
 */
export async function exchange<T>(
  wire: Wire,
  request: WireRequest,
  read: (response: Response) => T | Promise<T>,
): Promise<T> {
  let givesUpAt = Infinity;
  for (let tries = 0;; tries++) {
    request.signal?.throwIfAborted();
    const answer = await attempt(wire.transport, request, read);
    if ("value" in answer) return answer.value;
    request.signal?.throwIfAborted();
    const waitMs = Math.max(answer.error.retryAfterMs ?? 0, backoffMs(tries, wire.random.next()));
    if (tries === 0) givesUpAt = wire.clock.now() + wire.patienceMs;
    if (!worthRepeating(answer.error, request) || wire.clock.now() + waitMs > givesUpAt) throw answer.error;
    await wire.clock.sleep(waitMs, request.signal ?? undefined);
  }
}

/** {@link exchange} for JSON. */
export function ask<T>(wire: Wire, request: WireRequest): Promise<T> {
  return exchange(wire, request, (response) => response.json() as Promise<T>);
}

async function attempt<T>(
  transport: Transport,
  request: WireRequest,
  read: (response: Response) => T | Promise<T>,
): Promise<{ value: T } | { error: PlatformError }> {
  try {
    const response = await transport.fetch(request);
    return response.ok ? { value: await read(response) } : { error: await refusal(response) };
  } catch (cause) {
    if (cause instanceof PlatformError) return { error: cause };
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `Cannot reach Berth at ${transport.target}: ${reason}; is \`berth up\` running?`;
    return { error: new PlatformError("bad_gateway", message, { cause }) };
  }
}

/** Doubles from 50 ms to a second, and is spread so that many clients don't come back together. */
export function backoffMs(tries: number, chance: number): number {
  return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(tries, 10)) * (0.5 + chance / 2);
}

/** Refusals that say "not now" were not acted on; a lost connection leaves it open whether the request arrived. */
function worthRepeating(
  { code }: PlatformError,
  { method, headers, repeatable, refusable = false }: WireRequest,
): boolean {
  if (code === "quota_exceeded") return !refusable;
  if (code === "unavailable" || code === "too_many_requests") return true;
  return code === "bad_gateway" &&
    (repeatable ?? (method !== "POST" || headers?.["idempotency-key"] !== undefined));
}

const CODE_BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  401: "unauthorized",
  403: "forbidden",
  404: "not_found",
  412: "precondition_failed",
  413: "too_large",
  429: "too_many_requests",
  502: "bad_gateway",
  503: "unavailable",
};

/** What an answer other than 2xx says. Something between here and the platform may have written it, so little is presumed. */
async function refusal(response: Response): Promise<PlatformError> {
  const text = await response.text().catch(() => "");
  const said = parseError(text);
  const retryAfter = Number(response.headers.get("retry-after") ?? NaN);
  const {
    code = CODE_BY_STATUS[response.status] ?? (response.status < 500 ? "invalid_request" : "internal"),
  } = said;
  return new PlatformError(
    code,
    said.message ?? `Cannot go on: Berth answered ${response.status} ${text.slice(0, 200)}`,
    {
      ...(said.field === undefined ? {} : { field: said.field }),
      ...(said.requestId === undefined ? {} : { requestId: said.requestId }),
      ...(Number.isFinite(retryAfter) ? { retryAfterMs: retryAfter * 1_000 } : {}),
    },
  );
}

function parseError(
  text: string,
): { code?: ErrorCode; message?: string; field?: string; requestId?: string } {
  try {
    return JSON.parse(text).error ?? {};
  } catch {
    return {};
  }
}

/** Asks by a route of the contract. The route brings the schema that the answer is checked with. */
export async function send<R extends Route>(
  wire: Wire,
  route: R,
  input: RawInput<R>,
  { signal, ...more }: Pick<WireRequest, "signal" | "repeatable"> = {},
): Promise<Output<R>> {
  const { path, rest } = fillPath(route.path, input as Record<string, unknown>);
  const request = route.method === "POST"
    ? { method: route.method, path, body: JSON.stringify(rest), signal, ...more }
    : { method: route.method, path: path + query(rest), signal };
  const answer = (route.output as z.ZodType<Output<R>>).safeParse(await ask(wire, request));
  if (answer.success) return answer.data;
  const [issue] = answer.error.issues;
  const what = `${issue?.path.join(".")}: ${issue?.message}`;
  throw new PlatformError("internal", `Cannot understand the answer to ${route.method} ${path}: ${what}`, {
    cause: answer.error,
  });
}

function fillPath(
  pattern: string,
  input: Record<string, unknown>,
): { path: string; rest: Record<string, unknown> } {
  const rest = { ...input };
  const path = pattern.replace(/:(\w+)/g, (_, name: string) => {
    const value = rest[name];
    delete rest[name];
    return encodeURIComponent(String(value));
  });
  return { path, rest };
}

function query(values: Record<string, unknown>): string {
  const pairs = Object.entries(values).filter(([, value]) => value !== undefined);
  if (pairs.length === 0) return "";
  return `?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]))}`;
}
