/** Publishes a file as an artifact: where to, the bytes, and then the word that they are there. Each step waits for an api that is away. */
import type { Clock } from "../sdk/ports.ts";
import { sendParts } from "../sdk/parts.ts";
import { ApiRefused, type ArtifactOf, type NodeApi, persist } from "./api.ts";

export interface PublishDeps {
  readonly api: NodeApi;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** The bytes that were there when it began are no longer. */
const BYTES_GONE = 412;

/** Answers what was published, as JSON. */
export async function publishFile(deps: PublishDeps, artifact: ArtifactOf, path: string): Promise<string> {
  const { api, signal } = deps;
  const surely = <T>(step: () => Promise<T>): Promise<T> => persist(deps.clock, signal, step);
  for (;;) {
    const { upload, partBytes, parts } = await surely(() => api.beginArtifact(artifact, signal));
    const etags = await sendParts(parts, {
      size: artifact.size,
      partBytes,
      send: ({ to, from, size }) => surely(() => api.upload(to, { path, from, to: from + size }, signal)),
    });
    try {
      return await surely(() => api.publishArtifact(artifact, { upload, etags }, signal));
    } catch (error) {
      if (!(error instanceof ApiRefused) || error.status !== BYTES_GONE) throw error;
    }
  }
}
