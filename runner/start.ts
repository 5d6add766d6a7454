/** Bringing a container's guest up: what it is given, and giving up as soon as nobody wants it any more. */
import type { Assignment, DeliveredSecret, RegistryCredential } from "../sdk/protocol.ts";
import type { Clock } from "../sdk/ports.ts";
import { ApiRefused, type NodeApi, persist } from "./api.ts";
import { type Guest, StartError } from "./engine.ts";

/** What the secrets of a container hold. Throws a {@link StartError} when it may not have them. */
export async function fetchSecrets(
  { id, spec }: Assignment,
  { api, clock, signal }: { readonly api: NodeApi; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<DeliveredSecret[]> {
  if (spec.secrets.length === 0) return [];
  try {
    return await persist(clock, signal, () => api.secrets(id, signal));
  } catch (error) {
    throw error instanceof ApiRefused ? new StartError(error.message, { cause: error }) : error;
  }
}

/** Of the registry that the image of a container lies in; undefined when its function names no secret for it. */
export async function fetchCredential(
  { id, spec }: Assignment,
  { api, clock, signal }: { readonly api: NodeApi; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<RegistryCredential | undefined> {
  if (spec.image?.secret === undefined) return undefined;
  try {
    return await persist(clock, signal, () => api.registryCredential(id, signal));
  } catch (error) {
    throw error instanceof ApiRefused ? new StartError(error.message, { cause: error }) : error;
  }
}

/** What `starting` gives, unless `signal` aborts first: an installation may go on for minutes after nobody wants it. */
export function unlessAborted<T>(signal: AbortSignal, starting: Promise<T>): Promise<T> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(new StartError("It was stopped while it started")), {
      once: true,
    });
  });
  return Promise.race([aborted, starting]);
}

/** Opens a guest's endpoints to requests; why not, where that fails. */
export function publish(guest: Guest): string | null {
  try {
    guest.publish?.();
    return null;
  } catch (error) {
    return `Its endpoints cannot be reached: ${(error as Error).message}`;
  }
}

/** Ends a guest that nobody wants. */
export async function discard(guest: Guest): Promise<void> {
  guest.kill();
  await guest.release();
}
