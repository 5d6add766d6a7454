/** The container image that a function runs in. Pure. */
import { parseReference } from "./image_reference.ts";

/** Choices of {@link Image.fromRegistry}. */
export interface RegistryOptions {
  /** Secret with the registry's credentials, where nodes have none of their own. */
  readonly secret?: string;
}

/**
 * An image to run in.
 *
 * @example
 * ```ts
 * import { App, Image } from "berth";
 *
 * const app = new App("vision");
 * const image = Image.fromRegistry("denoland/deno:2.9.6");
 *
 * export const resize = app.function({ image, egress: "deny" }, (pixels: number[]) => pixels.length);
 * ```
 */
export class Image {
  readonly ref: string;
  readonly secret: string | undefined;

  private constructor(ref: string, secret: string | undefined) {
    this.ref = ref;
    this.secret = secret;
  }

  /** An image as it lies in a registry: `python:3.12-slim`, `ghcr.io/team/train@sha256:…`. */
  static fromRegistry(ref: string, { secret }: RegistryOptions = {}): Image {
    parseReference(ref);
    return new Image(ref, secret);
  }
}

/** As the wire has it. Throws a TypeError when a text names no image. */
export function imageSpec(image: string | Image): { ref: string; secret?: string } {
  const { ref, secret } = typeof image === "string" ? Image.fromRegistry(image) : image;
  return { ref, ...(secret === undefined ? {} : { secret }) };
}
