/** Bringing a container's guest up: what it is given, and giving up as soon as nobody wants it any more. */
import type { Assignment, DeliveredSecret, Exit, RegistryCredential } from "../sdk/protocol.ts";
import type { Clock } from "../sdk/ports.ts";
import type { Outbox } from "./outbox.ts";
import { within } from "./bell.ts";
import { ApiRefused, type NodeApi, persist } from "./api.ts";
import { type Engine, type Guest, NodeError, StartError } from "./engine.ts";

/** What it takes to bring a guest up. */
export interface BringingUp {
  readonly api: NodeApi;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly engine: Engine;
  /** It runs already: an earlier runner has left it. */
  readonly adopts: boolean;
  readonly secrets: readonly DeliveredSecret[];
  say(text: string): void;
}

/** Starts a guest, or takes one over. Throws a {@link StartError}. */
export async function bringUp(
  assignment: Assignment,
  { api, clock, signal, engine, adopts, secrets, say }: BringingUp,
): Promise<Guest> {
  const registryCredential = () => fetchCredential(assignment, { api, clock, signal });
  const context = { signal, secrets, registryCredential, say };
  if (!adopts) {
    const bundle = (digest: string) => persist(clock, signal, () => api.bundle(digest, signal));
    const over = Promise.withResolvers<void>();
    return await engine.start(assignment, { ...context, bundle, over: over.promise }).finally(over.resolve);
  }
  if (engine.left === undefined) throw new StartError("It ended with its runner");
  return await engine.left.adopt(assignment, context);
}

/** How a container ended that did not start. */
export const startFailure = (error: unknown): Exit => ({
  kind: error instanceof NodeError ? "node_lost" : "start_failed",
  message: error instanceof Error ? error.message : String(error),
});

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

/** Opens a guest's endpoints, if it has any, to requests; why not, where that fails. */
export function publish(guest: Guest, endpoints: boolean): string | null {
  try {
    guest.publish?.({ endpoints });
    return null;
  } catch (error) {
    return `Its endpoints cannot be reached: ${(error as Error).message}`;
  }
}

/** Time for the last bytes of a guest that has ended. */
const LAST_WORDS_MS = 1_000;

/** What it said before it ended still counts. Somebody else may hold its pipes open, so there is an end to waiting. */
export async function readOut(
  read: Promise<unknown>,
  { clock, outbox }: { readonly clock: Clock; readonly outbox: Pick<Outbox, "full"> },
): Promise<void> {
  while (!await within(clock, LAST_WORDS_MS, read) && outbox.full);
}

/** Ends a guest that nobody wants. */
export async function discard(guest: Guest): Promise<void> {
  guest.kill();
  await guest.release();
}
