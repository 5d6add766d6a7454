/** The images of an app, built before it is deployed: each asked for once, its build followed to its end. */
import { liveItems } from "../live_items.ts";
import type { FunctionSpec, Manifest } from "../protocol/apps.ts";
import type { EnsuredImage, Image } from "../protocol/images.ts";
import type { ContainerLog } from "../protocol/nodes.ts";
import { routes, STREAM_PATHS } from "../protocol/routes.ts";
import { exchange, send, type Wire } from "../transport.ts";
import type { Job } from "./cli.ts";
import { CliError, EXIT } from "./failure.ts";
import type { ReadChain } from "./image_files.ts";
import { honoured } from "./image_honours.ts";
import type { Packed } from "./pack.ts";
import { size, span } from "./words.ts";

export interface BuildOptions {
  /** Builds what is there already. */
  readonly rebuild: boolean;
}

/** What became of the image of some functions. */
export interface BuiltImage {
  readonly functions: readonly string[];
  readonly ref: string | null;
  readonly image?: Image;
}

/** Builds the images of an app; answers its manifest with their names, and what was built. */
export async function buildImages(
  job: Job,
  wire: Wire,
  { manifest, images }: Pick<Packed, "manifest" | "images">,
  options: BuildOptions = { rebuild: false },
): Promise<{ manifest: Manifest; built: BuiltImage[] }> {
  let complete = manifest;
  const built: BuiltImage[] = [];
  const asked = [];
  // All are asked for before the first is waited for: nodes may build them at the same time.
  for (const same of sameImages(images)) {
    asked.push({ ...same, ensured: await ensure(job, wire, same.read, options) });
  }
  for (const { functions, read, ensured } of asked) {
    if (ensured.needs === "engine") {
      complete = honoured(job, complete, functions, read.chain);
      built.push({ functions, ref: null });
      continue;
    }
    const image = ensured.image && await ready(job, wire, ensured.image);
    const ref = ensured.ref ?? image!.ref!;
    complete = {
      ...complete,
      functions: complete.functions.map((spec) => withImage(spec, functions, ref, read)),
    };
    built.push({ functions, ref, ...image === undefined ? {} : { image } });
  }
  return { manifest: complete, built };
}

/** A base that is taken as it is comes with its own secret; what was built lies where nodes may pull. */
function withImage(
  spec: FunctionSpec,
  functions: readonly string[],
  ref: string,
  { chain }: ReadChain,
): FunctionSpec {
  if (!functions.includes(spec.name)) return spec;
  const { from, steps } = chain;
  const secret = from.kind === "registry" && steps.length === 0 ? from.secret : undefined;
  return { ...spec, image: { ref, ...secret === undefined ? {} : { secret } } };
}

/** Functions by their image: many may have the same. */
function sameImages(images: Packed["images"]): { functions: string[]; read: ReadChain }[] {
  const key = ({ chain, context }: ReadChain) => JSON.stringify([chain, context?.digest]);
  return [...Map.groupBy(Object.entries(images), ([, read]) => key(read)).values()].map((same) => ({
    functions: same.map(([name]) => name),
    read: same[0]![1],
  }));
}

async function ensure(
  { output }: Job,
  wire: Wire,
  { chain, context }: ReadChain,
  { rebuild }: BuildOptions,
): Promise<EnsuredImage> {
  const asked = {
    chain: { ...chain, steps: [...chain.steps] },
    rebuild,
    ...context === null ? {} : { context: context.digest },
  };
  const answer = await send(wire, routes.ensureImage, asked);
  if (answer.needs !== "context" || context === null) return answer;
  output.status(`Uploading ${size(context.bytes.length)} of files for an image`);
  const path = STREAM_PATHS.bundle.replace(":digest", context.digest);
  await exchange(wire, { method: "PUT", path, body: context.bytes }, (stored) => stored.text());
  return await send(wire, routes.ensureImage, asked);
}

/** Follows a build to its end. */
export async function ready(job: Job, wire: Wire, image: Image): Promise<Image> {
  if (image.state === "ready") return image;
  const { output, shell } = job;
  const name = `image ${image.digest.slice(0, 12)}`;
  const startedAt = shell.clock.now();
  output.note(`Building ${name}`);
  const signal = shell.interrupted();
  const over = new AbortController();
  const waiting = showWait(job, wire, image, over.signal);
  try {
    const path = `/v1/images/${image.id}/logs`;
    for await (
      const line of liveItems<ContainerLog>(job.patientWire(), path, { signal, after: image.logsAfter })
    ) {
      if (line.stream === "system") output.status(`Building ${name}: ${line.text}`);
      output.note(output.tint(line.stream === "system" ? "cyan" : "dim", line.text));
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new CliError(EXIT.interrupted, `Interrupted: ${name} is still being built`, {
      hint: "The same deploy again waits for it, or finds it.",
    });
  } finally {
    over.abort();
    await waiting;
    output.clearStatus();
  }
  const ended = await send(wire, routes.getImage, { image: image.id });
  if (ended.state !== "ready") {
    throw new CliError(EXIT.source, ended.failure ?? `Cannot build ${name}: it is ${ended.state}`, {
      hint: "Nothing was deployed; what ran before runs on.",
    });
  }
  output.note(
    `Built ${name} in ${span(shell.clock.now() - startedAt)}: ${ended.ref}, ${size(ended.size ?? 0)}`,
  );
  return ended;
}

const LOOK_MS = 2_000;

/** Says why it waits, if it does. */
async function showWait({ output, shell: { clock } }: Job, wire: Wire, { id }: Image, over: AbortSignal) {
  let said: string | undefined;
  for (await clock.sleep(LOOK_MS, over); !over.aborted; await clock.sleep(LOOK_MS, over)) {
    const image = await send(wire, routes.getImage, { image: id }, { signal: over }).catch(() => null);
    if (over.aborted || image === null || image.waiting === undefined || image.waiting === said) continue;
    said = image.waiting;
    output.note(`Waiting: ${said}`);
  }
}
