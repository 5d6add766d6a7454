/** The images of this node: pulled once, however many ask; those not used for long make room for new ones. */
import { z } from "zod";
import type { Clock, Log } from "../../../sdk/ports.ts";
import { StartError } from "../../engine.ts";
import type { OciClient } from "./client.ts";
import type { Credentials } from "./credentials.ts";
import { PullProgress } from "./progress.ts";
import { formatReference, type Reference } from "../../../sdk/image_reference.ts";
import { staleImages } from "./stale.ts";

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
}

const Pulled = z.record(z.string(), z.object({ usedAt: z.number(), bytes: z.number() }));
type Pulled = z.infer<typeof Pulled>;

export class Images {
  readonly #deps: ImagesDeps;
  readonly #pulling = new Map<string, Promise<void>>();
  readonly #users = new Map<string, number>();
  #pulled: Pulled = {};

  private constructor(deps: ImagesDeps, pulled: Pulled) {
    this.#deps = deps;
    this.#pulled = pulled;
  }

  static async open(deps: ImagesDeps): Promise<Images> {
    return new Images(deps, await readPulled(deps.file));
  }

  /** Has an image here, and keeps it until `release` is called. */
  async hold(reference: Reference, wanting: Wanting): Promise<() => void> {
    const name = formatReference(reference);
    const release = this.#use(name);
    try {
      await this.#ensure(name, reference, wanting);
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
      this.#users.set(name, this.#users.get(name)! - 1);
      this.#touch(name);
    };
  }

  async #ensure(name: string, reference: Reference, wanting: Wanting): Promise<void> {
    this.#touch(name);
    if (await this.#deps.client.image(reference) !== null) return;
    const pulling = this.#pulling.get(name) ?? this.#pull(name, reference, wanting);
    this.#pulling.set(name, pulling);
    try {
      await pulling;
    } finally {
      this.#pulling.delete(name);
    }
  }

  async #pull(name: string, reference: Reference, { say }: Wanting): Promise<void> {
    const { client, credentials, clock, log } = this.#deps;
    const began = clock.now();
    const progress = new PullProgress(name);
    say(`Pulling ${name}`);
    try {
      await client.pull(reference, {
        credential: credentials.get(reference.registry),
        tell: (told) => {
          const line = progress.push(told);
          if (line !== null) say(line);
        },
      });
    } catch (cause) {
      throw new StartError(`Cannot pull ${name}: ${cause instanceof Error ? cause.message : cause}`, {
        cause,
      });
    }
    const image = await client.image(reference);
    if (image === null) {
      throw new StartError(`Cannot pull ${name}: the engine says it did, and has no such image`);
    }
    const bytes = image.Size;
    log("image.pulled", { image: name, bytes, ms: clock.now() - began });
    this.#pulled[name] = { usedAt: clock.now(), bytes };
    await this.#makeRoom();
  }

  #touch(name: string): void {
    const known = this.#pulled[name];
    if (known !== undefined) known.usedAt = this.#deps.clock.now();
  }

  async #makeRoom(): Promise<void> {
    const { client, budgetMiB, file, log } = this.#deps;
    const inUse = (name: string) => (this.#users.get(name) ?? 0) > 0;
    for (const name of staleImages(this.#pulled, budgetMiB, inUse)) {
      if (!await client.removeImage(name)) continue;
      log("image.removed", { image: name, bytes: this.#pulled[name]!.bytes });
      delete this.#pulled[name];
    }
    await Deno.writeTextFile(file, JSON.stringify(this.#pulled));
  }
}

/** Nothing, when it was not there or only half written: then what was pulled before is kept for good. */
async function readPulled(file: string): Promise<Pulled> {
  try {
    return Pulled.parse(JSON.parse(await Deno.readTextFile(file)));
  } catch {
    return {};
  }
}
