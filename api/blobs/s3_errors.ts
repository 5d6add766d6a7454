/** What S3 answers, in sentences that name the setting to blame. Pure. */
import { PlatformError } from "../../sdk/errors.ts";

/** As the SDK throws them: an answer has a status and a code as its name, a server that is away has neither. */
interface S3Error extends Error {
  readonly $metadata: { readonly httpStatusCode?: number };
}

interface Place {
  readonly endpoint: string;
  readonly bucket: string;
}

/** Whoever waits for S3 may ask again after this. */
const AWAY_RETRY_MS = 1_000;

export const isS3Error = (error: unknown): error is S3Error => error instanceof Error && "$metadata" in error;

/** Whether S3 answered with this status, and this code if one is given. */
export const isAnswer = (error: unknown, status: number, code?: string): boolean =>
  isS3Error(error) && error.$metadata.httpStatusCode === status &&
  (code === undefined || error.name === code);

/** @param what the action that failed, as in `Cannot …` */
export function s3Error(cause: S3Error, what: string, place: Place): Error {
  const { httpStatusCode: status } = cause.$metadata;
  const message = `Cannot ${what} on S3 at ${place.endpoint}: ${reason(cause, status, place)}`;
  return status === undefined || status >= 500
    ? new PlatformError("unavailable", message, { retryAfterMs: AWAY_RETRY_MS, cause })
    : new Error(message, { cause });
}

function reason({ name, message }: S3Error, status: number | undefined, { bucket }: Place): string {
  switch (name) {
    case "SignatureDoesNotMatch":
      return "it refuses our signature, S3_SECRET_ACCESS_KEY is not the secret of this key";
    case "InvalidAccessKeyId":
      return "it does not know the key of S3_ACCESS_KEY_ID";
    case "AccessDenied":
      return `the key of S3_ACCESS_KEY_ID may not do this in bucket "${bucket}"`;
    case "NoSuchBucket":
      return `there is no bucket "${bucket}", as S3_BUCKET says`;
    case "RequestTimeTooSkewed":
      return "its clock and ours differ by minutes";
    default:
      return status === undefined ? `it cannot be reached (${message})` : `it answered ${status} (${name})`;
  }
}
