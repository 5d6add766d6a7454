/** The images of this node: pulled once, however many ask; those not used for long make room for new ones. */
import { z } from "zod";
import type { Clock, Log } from "../../../sdk/ports.ts";
import { LIMITS } from "../../../sdk/protocol.ts";
import { StartError } from "../../engine.ts";
import type { OciClient } from "./client.ts";
import type { Credential, Credentials } from "./credentials.ts";
import { EngineAway } from "./http.ts";
import { PullProgress } from "./progress.ts";
import { formatReference, parseReference, type Reference } from "../../../sdk/image_reference.ts";
import { staleOnes } from "../stale.ts";

export interface ImagesDeps {
  readonly client: OciClient;
  readonly credentials: Credentials;
  /** Remembers what was pulled here, and when it was last used. Images that others have pulled are left alone. */
  readonly file: string;
  /** For all that was pulled here. */
  readonly budgetMiB: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Wanting {
  /** Tells the container's log. */
  say(text: string): void;
  readonly signal: AbortSignal;
  /** Of the registry, where the function brings one; else that of the node. */
  registryCredential?(): Promise<Credential | undefined>;
}

/** Containers that nobody uses yet: they keep no image here. */
export interface Unused {
  /** How many there are of an image. */
  of(image: string): number;
  /** Removes them. */
  letGo(image: string): Promise<void>;
}

const Pulled = z.record(
  z.string(),
  z.object({
    usedAt: z.number(),
    bytes: z.number(),
    /** What it is called too, since it was built here. */
    tag: z.string().optional(),
  }),
);
type Pulled = z.infer<typeof Pulled>;

export class Images {
  readonly #deps: ImagesDeps;
  readonly #pulling = new Map<string, Promise<void>>();
  /** Those that were to be pulled ahead. */
  readonly #tried = new Set<string>();
  readonly #users = new Map<string, number>();
  /** Those that are known to be here. */
  readonly #present = new Set<string>();
  #changed = (): void => {};
  #unused: Unused = { of: () => 0, letGo: () => Promise.resolve() };
  readonly #held = new Set<string>();
  #pulled: Pulled = {};

  private constructor(deps: ImagesDeps, pulled: Pulled) {
    this.#deps = deps;
    this.#pulled = pulled;
  }

  static async open(deps: ImagesDeps): Promise<Images> {
    const images = new Images(deps, await readPulled(deps.file));
    await images.#look();
    return images;
  }

  /** Names of those that are here, as they may be asked for; those used last come first. */
  names(): string[] {
    const usedAt = (name: string) => this.#pulled[name]?.usedAt ?? 0;
    const names = [...this.#present].sort((a, b) => usedAt(b) - usedAt(a)).flatMap(shortNames);
    return names.slice(0, LIMITS.imagesPerNode);
  }

  onChange(hear: () => void): void {
    this.#changed = hear;
  }

  /** Tells of containers that go before their image has to stay. */
  yieldBy(unused: Unused): void {
    this.#unused = unused;
  }

  /** Has an image here, should somebody need it. Never fails. */
  async prefetch(ref: string): Promise<void> {
    const reference = parseReference(ref);
    const name = formatReference(reference);
    if (this.#present.has(name) || this.#tried.has(name)) return;
    this.#tried.add(name); // once: a container that needs it says what is wrong with it
    const say = (text: string) => this.#deps.log("image.prefetch", { text });
    await this.#ensure(name, reference, { say, signal: NEVER }).catch((error) => {
      this.#deps.log("image.prefetch_failed", { image: name, message: String(error) });
    });
  }

  /** An image was built here. One that others can pull makes room like those that were pulled; any other is kept. */
  async built({ tag, ref, bytes }: { tag: string; ref: string; bytes: number }): Promise<void> {
    if (ref !== tag) this.#pulled[ref] = { usedAt: this.#deps.clock.now(), bytes, tag };
    this.#arrived(ref);
    await this.#makeRoom();
  }

  /** An image is gone. */
  removed(name: string): void {
    delete this.#pulled[name];
    if (this.#present.delete(name)) this.#changed();
  }

  /** Which of those that were pulled are here still. */
  async #look(): Promise<void> {
    for (const name of Object.keys(this.#pulled)) {
      if (await this.#deps.client.image(parseReference(name)) !== null) this.#present.add(name);
    }
  }

  #arrived(name: string): void {
    if (this.#present.has(name)) return;
    this.#present.add(name);
    this.#changed();
  }

  /** Has an image here, and keeps it until `release` is called. */
  async hold(reference: Reference, wanting: Wanting): Promise<() => void> {
    const name = formatReference(reference);
    const release = this.#use(name);
    try {
      // One that is held is here: while its containers are, no engine removes it.
      if (!this.#held.has(name)) await this.#ensure(name, reference, wanting);
      this.#held.add(name);
      return release;
    } catch (error) {
      release();
      throw error;
    }
  }

  #use(name: string): () => void {
    this.#users.set(name, (this.#users.get(name) ?? 0) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const left = this.#users.get(name)! - 1;
      this.#users.set(name, left);
      if (left === 0) this.#held.delete(name);
      this.#touch(name);
    };
  }

  async #ensure(name: string, reference: Reference, wanting: Wanting): Promise<void> {
    this.#touch(name);
    if (await this.#deps.client.image(reference) !== null) return this.#arrived(name);
    const pulling = this.#pulling.get(name) ?? this.#pull(name, reference, wanting);
    this.#pulling.set(name, pulling);
    try {
      await pulling;
    } finally {
      this.#pulling.delete(name);
    }
  }

  async #pull(name: string, reference: Reference, { say, registryCredential }: Wanting): Promise<void> {
    const { client, credentials, clock, log } = this.#deps;
    const began = clock.now();
    const progress = new PullProgress(name);
    say(`Pulling ${name}`);
    try {
      await client.pull(reference, {
        credential: await registryCredential?.() ?? credentials.get(reference.registry),
        tell: (told) => {
          const line = progress.push(told);
          if (line !== null) say(line);
        },
      });
    } catch (cause) {
      if (cause instanceof EngineAway) throw cause;
      const why = reference.registry === "localhost"
        ? ELSEWHERE
        : cause instanceof Error
        ? cause.message
        : cause;
      throw new StartError(`Cannot pull ${name}: ${why}`, { cause });
    }
    const image = await client.image(reference);
    if (image === null) {
      throw new StartError(`Cannot pull ${name}: the engine says it did, and has no such image`);
    }
    const bytes = image.Size;
    log("image.pulled", { image: name, bytes, ms: clock.now() - began });
    this.#pulled[name] = { usedAt: clock.now(), bytes };
    this.#arrived(name);
    await this.#makeRoom();
  }

  #touch(name: string): void {
    const known = this.#pulled[name];
    if (known !== undefined) known.usedAt = this.#deps.clock.now();
  }

  async #makeRoom(): Promise<void> {
    const { client, budgetMiB, file, log } = this.#deps;
    const inUse = (name: string) => (this.#users.get(name) ?? 0) > this.#unused.of(name);
    for (const name of staleOnes(this.#pulled, budgetMiB, inUse)) {
      const { tag } = this.#pulled[name]!;
      await this.#unused.letGo(name);
      if (!await client.removeImage(name)) continue;
      if (tag !== undefined) await client.removeImage(tag);
      log("image.removed", { image: name, bytes: this.#pulled[name]!.bytes });
      this.removed(name);
    }
    await Deno.writeTextFile(file, JSON.stringify(this.#pulled));
  }
}

const NEVER = new AbortController().signal;

/** Why an image that was built without a registry is not here. */
const ELSEWHERE =
  "it was built on another node and the platform has no registry to take it from; start it with --registry HOST/REPOSITORY, and deploy again";

/** A name, and how people write it who mean the hub and the latest. */
function shortNames(name: string): string[] {
  const [, hub = name] = /^docker\.io\/(?:library\/)?(.+)$/.exec(name) ?? [];
  return [...new Set([name, hub, hub.replace(/:latest$/, "")])];
}

/** Nothing, when it was not there or only half written: then what was pulled before is kept for good. */
async function readPulled(file: string): Promise<Pulled> {
  try {
    return Pulled.parse(JSON.parse(await Deno.readTextFile(file)));
  } catch {
    return {};
  }
}
