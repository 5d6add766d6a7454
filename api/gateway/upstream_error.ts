/** Why a container did not answer a request. */

/**
 * `unreachable`: nobody listens · `died`: the connection ended before the response began · `malformed`: what came is not HTTP ·
 * `late`: nothing came in time · `refused`: it accepts no WebSocket · `aborted`: the client left, or the gateway closes.
 */
export type UpstreamFault = "unreachable" | "died" | "malformed" | "late" | "refused" | "aborted";

export class UpstreamError extends Error {
  override readonly name = "UpstreamError";
  /** Nobody can have acted on the request, or acting on it twice does no harm: another container may be asked. */
  readonly repeatable: boolean;

  constructor(
    readonly fault: UpstreamFault,
    { repeatable, cause }: { repeatable: boolean; cause?: unknown },
  ) {
    super(`Container did not answer: ${fault}`, cause === undefined ? undefined : { cause });
    this.repeatable = repeatable;
  }
}
