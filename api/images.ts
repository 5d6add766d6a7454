/** Images that the platform builds: asking for one, looking at them, and removing those that nobody uses. */
import { createHash } from "node:crypto";
import { wantBundle } from "../scheduler/store/bundles.ts";
import { listBuildLogs } from "../scheduler/store/builds.ts";
import {
  askAgain,
  askForImage,
  contextOfImage,
  countBuilders,
  findImage,
  listImages,
  pruneImages,
  usableImage,
} from "../scheduler/store/images.ts";
import { type BaseImages, baseRef, containerfile } from "../sdk/containerfile.ts";
import { parseDuration } from "../sdk/duration.ts";
import { PlatformError } from "../sdk/errors.ts";
import { parseReference } from "../sdk/image_reference.ts";
import type { ImageChain } from "../sdk/image_steps.ts";
import { newId } from "../sdk/ports.ts";
import { type EnsuredImage, type Image, LIMITS, type Routes } from "../sdk/protocol.ts";
import { dueAfter } from "./announce.ts";
import type { ApiDeps } from "./app.ts";
import { decodeCursor, pageFrom, SeqPlace, TimePlace } from "./cursor.ts";
import { needSecret } from "./secrets/missing.ts";
import type { Handlers } from "./serve.ts";

/** How images are made on this platform. */
export interface ImageSettings {
  /** `HOST[:PORT]/REPOSITORY` that they are pushed to; without one they stay on the only node. */
  readonly registry?: string | undefined;
  readonly bases: BaseImages;
}

export const IMAGE_DEFAULTS: ImageSettings = {
  bases: { deno: "denoland/deno:{version}", python: "python:{version}-slim" },
};

/** Where images are called so that stay on their node. */
const LOCAL = "localhost/berth";

type ImageRoutes = Pick<
  Routes,
  "ensureImage" | "listImages" | "getImage" | "rebuildImage" | "listImageLogs" | "pruneImages"
>;

export function imageHandlers(deps: ApiDeps): Handlers<ImageRoutes> {
  const { sql, clock, wakes } = deps;
  return {
    ensureImage: (asked, { workspace }) => ensure(deps, workspace, asked),

    async listImages({ limit, cursor }, { workspace }) {
      const after = decodeCursor(cursor, TimePlace);
      const images = await listImages(sql, { workspace, after, limit: limit + 1 });
      return pageFrom(images, limit, (last) => [Date.parse(last.createdAt), last.id]);
    },

    getImage: ({ image }, { workspace }) => knownImage(deps, workspace, image),

    async rebuildImage({ image, rebuild }, { workspace }) {
      const { id } = await knownImage(deps, workspace, image);
      const context = await contextOfImage(sql, id);
      if (context !== null && !await hasContext(deps, workspace, context)) throw filesGone(image);
      if (await askAgain(sql, new Date(clock.now()), { id, rebuild })) wakes.wake("build");
      return await knownImage(deps, workspace, id);
    },

    async listImageLogs({ image, limit, cursor }, { workspace }) {
      const { id } = await knownImage(deps, workspace, image);
      const after = decodeCursor(cursor, SeqPlace)?.[0];
      return pageFrom(
        await listBuildLogs(sql, id, { after, limit: limit + 1 }),
        limit,
        (last) => [last.seq],
      );
    },

    async pruneImages({ unusedFor, dryRun }, { workspace }) {
      const before = new Date(clock.now() - parseDuration(unusedFor));
      const images = await pruneImages(sql, { workspace, before, dryRun });
      if (!dryRun && images.length > 0) {
        wakes.wake("build");
        for (const { node } of images) if (node !== null) wakes.wake("node", node);
      }
      return { images };
    },
  };
}

interface Asked {
  readonly chain: ImageChain;
  readonly context?: string | undefined;
  readonly rebuild: boolean;
}

async function ensure(
  deps: ApiDeps,
  workspace: string,
  { chain, context, rebuild }: Asked,
): Promise<EnsuredImage> {
  const { sql, clock, wakes, images: { bases, registry } } = deps;
  const { from, steps } = chain;
  if (from.kind !== "containerfile" && steps.length === 0) return { ref: baseRef(from, bases) };
  checkCopies(chain, context);
  const text = containerfile(chain, bases);
  if (text.length > LIMITS.containerfileBytes) {
    refuse(
      "chain",
      `its Containerfile has ${text.length} bytes, at most ${LIMITS.containerfileBytes} are allowed`,
    );
  }
  const digest = digestOf(text, context);
  const tag = `${registry ?? LOCAL}:${digest}`;
  const now = new Date(clock.now());
  const { nodes, builders } = await countBuilders(sql);
  if (registry === undefined && builders > 1) throw needsRegistry(builders);
  const known = rebuild ? undefined : await usableImage(sql, now, { workspace, digest, tag });
  if (known !== undefined) return { image: known };
  if (context !== undefined && !await hasContext(deps, workspace, context)) return { needs: "context" };
  if (nodes > 0 && builders === 0) return { needs: "engine" };
  const secret = from.kind === "registry" ? from.secret ?? null : null;
  if (secret !== null) await needSecret(sql, workspace, { name: secret, field: "chain.from.secret" });
  const image = await askForImage(sql, now, {
    id: newId("img", deps),
    workspace,
    digest,
    containerfile: text,
    context: context ?? null,
    secret,
    registry: secret === null || from.kind !== "registry" ? null : parseReference(from.ref).registry,
    tag,
    push: registry !== undefined,
    rebuild,
  });
  wakes.wake("build");
  return { image };
}

/** Whether the files are here, which then stay for a day at least: nothing refers to them once the image is built. */
const hasContext = async ({ sql, clock }: ApiDeps, workspace: string, digest: string): Promise<boolean> =>
  await wantBundle(sql, { workspace, digest, dueAt: dueAfter(clock.now(), 0) }) !== undefined;

const filesGone = (called: string): PlatformError =>
  new PlatformError(
    "conflict",
    `Cannot build image "${called}" again: the files that it copies are no longer here, say \`berth image build FILE --rebuild\``,
    { field: "image" },
  );

/** What one of several nodes builds, the others would not have. */
const needsRegistry = (builders: number): PlatformError =>
  new PlatformError(
    "conflict",
    `Cannot build the image: ${builders} nodes have a container engine, and what one builds the others would not have; start the platform with --registry HOST/REPOSITORY (BERTH_REGISTRY)`,
  );

/** Of what is built and of the files that it copies. */
const digestOf = (text: string, context: string | undefined): string =>
  createHash("sha256").update(JSON.stringify([text, context ?? null])).digest("hex");

function checkCopies({ from, steps }: ImageChain, context: string | undefined): void {
  if (context !== undefined || from.kind === "containerfile") return;
  const at = steps.findIndex((step) => step.do === "copy");
  if (at >= 0) refuse("context", `step ${at} copies files, so that they must be given`);
}

/** An image of a workspace by id or digest, or an error that says that there is none. */
export async function knownImage({ sql }: ApiDeps, workspace: string, called: string): Promise<Image> {
  const image = await findImage(sql, { workspace, called });
  if (image !== undefined) {
    return image.state === "queued" ? { ...image, waiting: await waiting(sql) } : image;
  }
  const message = `Cannot find image "${called}": there is none in this workspace, see \`berth image ls\``;
  throw new PlatformError("not_found", message, { field: "image" });
}

async function waiting(sql: ApiDeps["sql"]): Promise<string> {
  const { builders, away } = await countBuilders(sql);
  if (builders === 0) return "no node with a container engine is up";
  if (builders === away) return "the container engine of each node that can build is away, see `berth nodes`";
  return `${builders === 1 ? "the node" : `all ${builders} nodes`} that can build ${
    builders === 1 ? "is" : "are"
  } busy with other images`;
}

function refuse(field: string, rule: string): never {
  throw new PlatformError("invalid_request", `Cannot accept \`${field}\`: ${rule}`, { field });
}
