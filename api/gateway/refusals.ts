/** What a client is told when its request got no response. */
import { formatDuration } from "../../sdk/duration.ts";
import { PlatformError } from "../../sdk/errors.ts";
import { LIMITS } from "../../sdk/protocol.ts";
import { suggestion } from "../near.ts";
import type { HoldEnd } from "./hold.ts";
import type { Target } from "./request.ts";
import type { EndpointRoute } from "./routes.ts";
import type { UpstreamError } from "./upstream_error.ts";

const RETRY_MS = 1_000;

const nameOf = ({ app, endpoint }: { app: string; endpoint: string }): string =>
  `endpoint "${app}/${endpoint}"`;

export const noSuchPath = (): PlatformError =>
  new PlatformError(
    "not_found",
    "Cannot find an endpoint: its path is /e/APP/ENDPOINT, then whatever it takes",
  );

/** @param known other endpoints that the caller may know of */
export function noSuchEndpoint(
  target: Pick<Target, "app" | "endpoint">,
  known: readonly string[],
): PlatformError {
  const near = suggestion(`${target.app}/${target.endpoint}`, known);
  return new PlatformError(
    "not_found",
    `Cannot find ${nameOf(target)}: nothing of that name is deployed${near}`,
  );
}

export const keyNeeded = (target: Target): PlatformError =>
  new PlatformError(
    "unauthorized",
    `Cannot use ${nameOf(target)} without a key: send the header \`Authorization: Bearer <key>\``,
  );

export const shuttingDown = (): PlatformError =>
  new PlatformError("unavailable", "Cannot take the request: this server is shutting down, try again", {
    retryAfterMs: RETRY_MS,
  });

/** @param reason why the scheduler has no container for it */
export function notHeld(
  end: Exclude<HoldEnd, "gone">,
  route: EndpointRoute,
  reason: string | null,
): PlatformError {
  if (end === "full") {
    const message = `Cannot hold the request: ${LIMITS.heldRequestsPerFunction} wait for ${
      nameOf(route)
    }, try again later`;
    return new PlatformError("too_many_requests", message, { retryAfterMs: RETRY_MS });
  }
  if (end === "closed") return noSuchEndpoint(route, []);
  const waited = formatDuration(route.function.startTimeoutMs);
  const why = reason ?? "no container became ready or free";
  return new PlatformError(
    "start_timeout",
    `Cannot reach ${nameOf(route)} within its start timeout of ${waited}: ${why}`,
  );
}

export function notAnswered(error: UpstreamError, route: EndpointRoute): PlatformError {
  const about = `Cannot get a response of ${nameOf(route)}`;
  const more = { cause: error };
  switch (error.fault) {
    case "late": {
      const limit = formatDuration(route.function.timeoutMs);
      return new PlatformError("timeout", `${about}: it has not begun within the timeout of ${limit}`, more);
    }
    case "malformed":
      return new PlatformError("bad_gateway", `${about}: what its container sent is not HTTP`, more);
    case "refused":
      return new PlatformError(
        "bad_gateway",
        `Cannot open a WebSocket to ${nameOf(route)}: it did not accept it`,
        more,
      );
    case "died":
    case "unreachable":
      return new PlatformError("bad_gateway", `${about}: its container ended before it answered`, more);
    case "aborted":
      return shuttingDown();
  }
}
