/** Errors → answers: the one place where what went wrong becomes a status, a body and a log line. */
import { z } from "zod";
import { isAway } from "../scheduler/store/connect.ts";
import { PlatformError } from "../sdk/errors.ts";
import type { Log } from "../sdk/ports.ts";
import { type ErrorBody, STATUS_BY_CODE } from "../sdk/protocol.ts";

/** Whoever waits for the database may ask again after this. */
const AWAY_RETRY_MS = 1_000;

/** The answer to a request that failed. What nobody expected is logged here, once, with its causes, and not shown. */
export function answerError(error: unknown, requestId: string, log: Log): Response {
  const known = platformError(error);
  if (known.code === "internal" || known.code === "unavailable") {
    log("api.failed", { requestId, code: known.code, causes: causes(error) });
  }
  const { code, message, field, retryAfterMs } = known;
  const body: ErrorBody = { error: { code, message, ...(field === undefined ? {} : { field }), requestId } };
  const headers = new Headers({ "x-request-id": requestId });
  if (code === "unauthorized") headers.set("www-authenticate", "Bearer");
  if (retryAfterMs !== undefined) headers.set("retry-after", String(Math.ceil(retryAfterMs / 1_000)));
  return Response.json(body, { status: STATUS_BY_CODE[code], headers });
}

function platformError(error: unknown): PlatformError {
  if (error instanceof PlatformError) return error;
  if (error instanceof z.ZodError) return badInput(error);
  if (isAway(error)) {
    const message = "Cannot reach the database: it is away or starting, try again shortly";
    return new PlatformError("unavailable", message, { retryAfterMs: AWAY_RETRY_MS, cause: error });
  }
  const unstorable = unstorableText(error);
  if (unstorable !== null) {
    return new PlatformError("invalid_request", `Cannot store the request: ${unstorable}`, { cause: error });
  }
  const message =
    "Cannot answer the request: something inside went wrong, the log has it under this requestId";
  return new PlatformError("internal", message, { cause: error });
}

/** What JSON can say and PostgreSQL can't hold: `"\\u0000"` and `"\\ud800"` in a text, and more levels than its stack has. */
function unstorableText(error: unknown): string | null {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (code === "54001") return "its JSON is nested too deep, keep it below some 10,000 levels";
  const broken = code === "22P05" || code === "22021" ||
    (code === "22P02" && String(message).includes("json"));
  return broken ? "a text in it holds a NUL character or half of a surrogate pair" : null;
}

/** The first rule that was broken, and the dotted path of the field that broke it. */
export function badInput(error: z.ZodError): PlatformError {
  const issue = deepest(error.issues[0]!);
  const field = issue.path.map(String).join(".");
  const rest = error.issues.length - 1;
  const more = rest === 0 ? "" : ` (and ${rest} more ${rest === 1 ? "problem" : "problems"})`;
  const message = `Cannot accept ${field === "" ? "the input" : `\`${field}\``}: ${issue.message}${more}`;
  return new PlatformError("invalid_request", message, field === "" ? {} : { field });
}

interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly errors?: readonly (readonly Issue[])[];
}

/** Of a union, the issue of the alternative that came furthest says more than "invalid input". */
function deepest(issue: Issue): Issue {
  const inner = (issue.errors ?? []).flat().sort((a, b) => b.path.length - a.path.length)[0];
  if (inner === undefined) return issue;
  const found = deepest(inner);
  return { message: found.message, path: [...issue.path, ...found.path] };
}

/** An error and what caused it, outermost first. */
function causes(error: unknown): string[] {
  const chain: string[] = [];
  for (
    let at = error;
    at !== undefined && at !== null && chain.length < 8;
    at = (at as { cause?: unknown }).cause
  ) {
    chain.push(at instanceof Error ? at.stack ?? `${at.name}: ${at.message}` : String(at));
  }
  return chain;
}
