/** Building an image with the engine of this node, and pushing it where others find it. */
import type { WantedBuild } from "../../../sdk/protocol.ts";
import { parseReference, repositoryOf } from "../../../sdk/image_reference.ts";
import type { Clock, Fetch, Log } from "../../../sdk/ports.ts";
import { type BuildContext, BuildError, BuildLost, type EngineImages } from "../../engine.ts";
import { within } from "../../bell.ts";
import { BuildOutput } from "./build_output.ts";
import { buildTar, CONTAINERFILE } from "./build_tar.ts";
import type { OciClient } from "./client.ts";
import { type Credential, type Credentials, registryConfig } from "./credentials.ts";
import { EngineAway } from "./http.ts";
import { hungUp } from "./presence.ts";
import type { Images } from "./images.ts";
import { removeManifest } from "./registry.ts";
import { PullProgress } from "./progress.ts";

export interface BuilderDeps {
  readonly client: OciClient;
  readonly images: Images;
  readonly credentials: Credentials;
  /** Certificates that builds trust, in PEM. */
  readonly ca: string | undefined;
  /** Where packages come from: variables of the steps, which the image does not keep. */
  readonly sources: Readonly<Record<string, string>>;
  /** Unix socket of the engine. */
  readonly socket: string;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly log: Log;
}

/** The end of a step that was killed, or told to end. */
const KILLED = /\b(137|143)\b/;
/** After that an engine which ends is gone within some hundred milliseconds. */
const ENDING_MS = 3_000;
/** Within this an engine that was restarted answers again. */
const BACK_MS = 15_000;
const LOOK_MS = 500;

export class OciImages implements EngineImages {
  readonly #deps: BuilderDeps;

  constructor(deps: BuilderDeps) {
    this.#deps = deps;
  }

  names(): string[] {
    return this.#deps.images.names();
  }

  onChange(hear: () => void): void {
    this.#deps.images.onChange(hear);
  }

  prefetch(ref: string): Promise<void> {
    return this.#deps.images.prefetch(ref);
  }

  async build(wanted: WantedBuild, context: BuildContext): Promise<{ ref: string; size: number }> {
    try {
      return await this.#make(wanted, context);
    } catch (error) {
      if (context.signal.aborted || !await this.#isAway(error)) throw error;
      await this.#untilBack(context.signal); // or the next attempt would be for nothing
      throw new BuildLost("The container engine of the node went away while it built this", { cause: error });
    }
  }

  /** Whether a build failed because the engine went away. One that is told to end kills the step first, and says that it failed. */
  async #isAway(error: unknown): Promise<boolean> {
    if (error instanceof EngineAway || (error as Error).cause instanceof EngineAway) return true;
    const { client, clock, socket } = this.#deps;
    if (KILLED.test(messageOf(error))) {
      const over = new AbortController();
      const hasEnded = await within(clock, ENDING_MS, hungUp(socket, over.signal));
      over.abort();
      if (hasEnded) return true;
    }
    return await client.version().then(() => false, () => true);
  }

  async #untilBack(signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#deps;
    const until = clock.now() + BACK_MS;
    while (clock.now() < until && !signal.aborted) {
      if (await client.version(signal).then(() => true, () => false)) return;
      await clock.sleep(LOOK_MS, signal);
    }
  }

  async #make(wanted: WantedBuild, context: BuildContext): Promise<{ ref: string; size: number }> {
    const { client, images } = this.#deps;
    await this.#build(wanted, context);
    const tag = parseReference(wanted.tag);
    const digest = wanted.push ? await this.#push(wanted, context) : null;
    const image = await client.image(tag);
    if (image === null) throw new BuildError("Cannot build the image: the engine says it did, and has none");
    const ref = digest === null ? wanted.tag : `${repositoryOf(tag)}@${digest}`;
    await images.built({ tag: wanted.tag, ref, bytes: image.Size });
    return { ref, size: image.Size };
  }

  async remove({ tag, ref, unpush }: WantedBuild, signal: AbortSignal): Promise<string | null> {
    const { client, images, log } = this.#deps;
    for (const name of new Set([ref ?? tag, tag])) {
      const removed = await client.removeImage(name).catch(() => false);
      images.removed(name);
      log("image.removed", { image: name, removed });
    }
    if (!unpush || ref === null) return null;
    const kept = await removeManifest(this.#deps, parseReference(ref), signal);
    if (kept !== null) log("image.left", { image: ref, why: kept });
    return kept;
  }

  async #build(wanted: WantedBuild, { signal, files, credential, say }: BuildContext): Promise<void> {
    const { client, credentials, ca, sources } = this.#deps;
    const output = new BuildOutput(say);
    const all = new Map(credentials);
    if (wanted.registry !== null && credential !== null) all.set(wanted.registry, credential);
    const authority = ca === undefined ? null : await Deno.readTextFile(ca);
    const { tar, args } = await buildTar(wanted.containerfile, {
      files: await files(),
      ca: authority,
      env: sources,
    });
    const query = {
      t: wanted.tag,
      dockerfile: CONTAINERFILE,
      buildargs: JSON.stringify(args),
      nocache: wanted.rebuild,
      ...(wanted.rebuild ? { pull: true } : {}),
      rm: true,
      forcerm: true,
    };
    try {
      await client.build(tar, query, {
        registries: registryConfig(all),
        tell: (told) => output.push(told),
        signal,
      });
    } catch (cause) {
      throw new BuildError(output.explain(messageOf(cause)), { cause });
    }
    output.end();
  }

  /** Its digest there; the tag is as good where the engine does not tell it. */
  async #push({ tag }: WantedBuild, { signal, say }: BuildContext): Promise<string | null> {
    const { client, credentials } = this.#deps;
    const reference = parseReference(tag);
    const credential: Credential | undefined = credentials.get(reference.registry);
    const progress = new PullProgress(tag, "Pushing");
    let digest: string | null = null;
    say("system", `Pushing ${tag}`);
    try {
      await client.push(reference, {
        credential,
        signal,
        tell: (told) => {
          digest = told.aux?.Digest ?? digestIn(told.status) ?? digest;
          const line = progress.push(told);
          if (line !== null) say("system", line);
        },
      });
    } catch (cause) {
      throw new BuildError(`Cannot push ${tag}: ${messageOf(cause)}`, { cause });
    }
    return digest;
  }
}

/** `latest: digest: sha256:… size: 528` */
const digestIn = (status: string | undefined): string | undefined =>
  /\bdigest: (sha256:[0-9a-f]{64})\b/.exec(status ?? "")?.[1];

const messageOf = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause);
