/** The container image that a function runs in: one of a registry, or a chain of steps that the platform builds once. Pure. */
import { parseReference } from "./image_reference.ts";
import { type ImageBase, type ImageStep, RULES, stepProblem } from "./image_steps.ts";

/** Choices of {@link Image.fromRegistry}. */
export interface RegistryOptions {
  /** Secret with the keys `username` and `password` of the registry, where nodes have no credentials of their own. */
  readonly secret?: string;
}

/** Choices of {@link Image.fromContainerfile}. */
export interface ContainerfileOptions {
  /**
   * Folder that it copies from, relative to the module.
   * @default the folder of the Containerfile
   */
  readonly context?: string;
}

/** A chain as it was written: with paths of the author's machine, which the CLI reads when it deploys. */
export interface LocalChain {
  readonly from: Exclude<ImageBase, { kind: "containerfile" }> | LocalContainerfile;
  readonly steps: readonly LocalStep[];
}
export interface LocalContainerfile {
  readonly kind: "containerfile";
  readonly path: string;
  readonly context?: string | undefined;
}
export type LocalStep =
  | Exclude<ImageStep, { do: "copy" | "pip" }>
  | { readonly do: "pip"; readonly packages: readonly string[]; readonly file?: string }
  | { readonly do: "copy"; readonly local: string; readonly to: string };

/**
 * An image to run in. Each step gives a new image and leaves the one before as it was. What it describes is built when it is deployed,
 * once for all that describe the same over the same files.
 *
 * @example
 * ```ts
 * import { App, Image } from "berth";
 *
 * const app = new App("vision");
 * const image = Image.python("3.11")
 *   .aptInstall("libgl1")
 *   .pipInstall("numpy==2.1.0", "pillow==11.0.0")
 *   .env({ OMP_NUM_THREADS: "1" });
 *
 * export const resize = app.python<number[], number[]>("resize.py:resize", { image });
 * export const count = app.function(
 *   { image: Image.fromRegistry("denoland/deno:2.9.6"), egress: "deny" },
 *   (pixels: number[]) => pixels.length,
 * );
 * ```
 */
export class Image {
  readonly chain: LocalChain;

  private constructor(chain: LocalChain) {
    this.chain = chain;
  }

  /** An image as it lies in a registry: `python:3.12-slim`, `ghcr.io/team/train@sha256:…`. */
  static fromRegistry(ref: string, { secret }: RegistryOptions = {}): Image {
    parseReference(ref);
    const named = secret === undefined ? {} : { secret };
    return new Image({ from: { kind: "registry", ref, ...named }, steps: [] });
  }

  /** The platform's image with Deno. @param version by default the one that its guests are tried with */
  static deno(version?: string): Image {
    if (version !== undefined) check(RULES.version(version), `Image.deno("${version}")`, "the version");
    return new Image({ from: { kind: "deno", ...version === undefined ? {} : { version } }, steps: [] });
  }

  /** The platform's image with Python of this version. */
  static python(version = "3.11"): Image {
    check(RULES.version(version), `Image.python("${version}")`, "the version");
    return new Image({ from: { kind: "python", version }, steps: [] });
  }

  /** The image that a Containerfile (or Dockerfile) describes; `path` is relative to the module. */
  static fromContainerfile(path: string, { context }: ContainerfileOptions = {}): Image {
    const folder = context === undefined ? {} : { context };
    return new Image({ from: { kind: "containerfile", path, ...folder }, steps: [] });
  }

  /** Installs Debian packages: `"curl"`, `"curl=7.88.1-10"`. */
  aptInstall(...packages: string[]): Image {
    return this.#with("aptInstall", { do: "apt", packages });
  }

  /** Installs Python packages: `"numpy==2.1.0"`, or those of a requirements.txt, whose path is relative to the module. */
  pipInstall(...packages: string[] | [{ readonly requirements: string }]): Image {
    const [first] = packages;
    if (typeof first === "object") return this.#and({ do: "pip", packages: [], file: first.requirements });
    return this.#with("pipInstall", { do: "pip", packages: packages as string[] });
  }

  /** Installs npm packages: with `npm install --global`, or into the cache of Deno where the image has no npm. */
  npmInstall(...packages: string[]): Image {
    return this.#with("npmInstall", {
      do: "npm",
      packages: packages.map((name) => name.replace(/^npm:/, "")),
    });
  }

  /** Sets variables, for the steps that follow and for what runs in the image. */
  env(env: Readonly<Record<string, string>>): Image {
    return this.#with("env", { do: "env", env: { ...env } });
  }

  /** Runs a shell command. */
  run(command: string): Image {
    return this.#with("run", { do: "run", command });
  }

  /**
   * Copies a file, or what is in a folder. `local` is relative to the module; a `dest` that ends with `/` is a folder. Of a folder,
   * what its `.containerignore` or `.dockerignore` names stays out.
   */
  copy(local: string, dest: string): Image {
    check(RULES.path(dest), `.copy("${local}", "${dest}")`, "the destination");
    return this.#and({ do: "copy", local, to: dest });
  }

  /** The folder in which the steps that follow run, and programs of servers. */
  workdir(path: string): Image {
    return this.#with("workdir", { do: "workdir", path });
  }

  #with(name: string, step: Exclude<ImageStep, { do: "copy" }>): Image {
    const problem = stepProblem(step);
    if (problem === null) return this.#and(step);
    const [field, key] = problem.path;
    const given = Array.isArray((step as Record<string, unknown>)[field!])
      ? ((step as unknown as Record<string, readonly string[]>)[field!]![key as number] ?? "")
      : key ?? (step as unknown as Record<string, string>)[field!];
    throw new TypeError(`Cannot build an image with .${name}(${JSON.stringify(given)}): it ${problem.rule}`);
  }

  #and(step: LocalStep): Image {
    return new Image({ ...this.chain, steps: [...this.chain.steps, step] });
  }
}

function check(rule: string | null, call: string, what: string): void {
  if (rule !== null) throw new TypeError(`Cannot make ${call}: ${what} ${rule}`);
}

/** As the wire has an image of a registry; undefined when it is a chain, which must be built. Throws a TypeError when a text names no image. */
export function imageSpec(image: string | Image): { ref: string; secret?: string } | undefined {
  const { from, steps } = chainOf(image);
  if (from.kind !== "registry" || steps.length > 0) return undefined;
  return { ref: from.ref, ...(from.secret === undefined ? {} : { secret: from.secret }) };
}

/** The chain to be built for an image; undefined when it lies in a registry. */
export const builtChain = (image: string | Image | undefined): LocalChain | undefined =>
  image === undefined || imageSpec(image) !== undefined ? undefined : chainOf(image);

const chainOf = (image: string | Image): LocalChain =>
  (typeof image === "string" ? Image.fromRegistry(image) : image).chain;
