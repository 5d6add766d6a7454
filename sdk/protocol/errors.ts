/** Error codes of the wire and the HTTP status of each. Closed: a new code is a new line here. */
import { z } from "zod";

export const STATUS_BY_CODE = {
  invalid_request: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  idempotency_mismatch: 409,
  precondition_failed: 412,
  too_large: 413,
  range_not_satisfiable: 416,
  headers_too_large: 431,
  quota_exceeded: 429,
  too_many_requests: 429,
  internal: 500,
  bad_gateway: 502,
  unavailable: 503,
  start_timeout: 504,
  timeout: 504,
} as const;

export type ErrorCode = keyof typeof STATUS_BY_CODE;

export const ErrorBody = z.object({
  error: z.object({
    code: z.enum(Object.keys(STATUS_BY_CODE) as [ErrorCode, ...ErrorCode[]]),
    message: z.string(),
    /** Dotted path of the field to blame, such as `functions.0.timeout`. */
    field: z.string().optional(),
    requestId: z.string(),
  }),
});
export type ErrorBody = z.infer<typeof ErrorBody>;
