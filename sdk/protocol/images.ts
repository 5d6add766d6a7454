/** Images that the platform builds: what is asked for, what became of it. */
import { z } from "zod";
import { type ImageStep, RULES, stepProblem } from "../image_steps.ts";
import { LIMITS } from "./limits.ts";
import { ContainerLogPage } from "./nodes.ts";
import { Digest, DurationText, Name, Page, pageOf, Timestamp } from "./primitives.ts";
import { route } from "./route.ts";

const Text = z.string().max(LIMITS.containerfileBytes);
const Packages = z.array(Text).max(1_000);

/** A text that keeps a rule. */
const ruled = (rule: (text: string) => string | null) =>
  z.string().superRefine((text, ctx) => {
    const broken = rule(text);
    if (broken !== null) ctx.addIssue({ code: "custom", message: broken });
  });

const Step: z.ZodType<ImageStep, ImageStep> = z.discriminatedUnion("do", [
  z.strictObject({ do: z.literal("apt"), packages: Packages }),
  z.strictObject({ do: z.literal("pip"), packages: Packages, requirements: Packages.optional() }),
  z.strictObject({ do: z.literal("npm"), packages: Packages }),
  z.strictObject({ do: z.literal("env"), env: z.record(z.string(), Text) }),
  z.strictObject({ do: z.literal("run"), command: Text }),
  z.strictObject({
    do: z.literal("copy"),
    source: z.number().int().min(0).max(LIMITS.imageSteps),
    to: z.string(),
  }),
  z.strictObject({ do: z.literal("workdir"), path: z.string() }),
]).superRefine((step, ctx) => {
  const problem = stepProblem(step as ImageStep);
  if (problem !== null) ctx.addIssue({ code: "custom", path: [...problem.path], message: problem.rule });
}) as unknown as z.ZodType<ImageStep, ImageStep>;

/** What an image is made of: where it begins, and what is done then, in this order. */
export const ImageChain = z.strictObject({
  from: z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("deno"), version: ruled(RULES.version).optional() }),
    z.strictObject({ kind: z.literal("python"), version: ruled(RULES.version) }),
    z.strictObject({ kind: z.literal("registry"), ref: ruled(RULES.ref), secret: Name.optional() }),
    z.strictObject({ kind: z.literal("containerfile"), text: Text.min(1) }),
  ]),
  steps: z.array(Step).max(LIMITS.imageSteps),
});

export const ImageState = z.enum(["queued", "building", "ready", "failed", "removing", "left"]);
export type ImageState = z.infer<typeof ImageState>;

export const Image = z.object({
  id: z.string(),
  /** Of the description and of the files that it copies: what is the same is built once. */
  digest: Digest,
  state: ImageState,
  /** What nodes pull, once it is ready. */
  ref: z.string().nullable(),
  /** Bytes, uncompressed. */
  size: z.number().int().nullable(),
  /** What is built, as an engine reads it. */
  containerfile: z.string(),
  /** Who builds it, or has. */
  node: z.string().nullable(),
  /** Why it is not being built yet. */
  waiting: z.string().optional(),
  /** Why there is none; of one that is `left`, why its registry keeps it. */
  failure: z.string().optional(),
  /** Lines of its newest build have a `seq` beyond this. */
  logsAfter: z.number().int(),
  /** Functions that run in it, as `app/function`. */
  usedBy: z.array(z.string()),
  createdAt: Timestamp,
  startedAt: Timestamp.nullable(),
  endedAt: Timestamp.nullable(),
});
export type Image = z.infer<typeof Image>;
export const ImagePage = pageOf(Image);

export const EnsureImage = z.object({
  chain: ImageChain,
  /** Of a tar with the files that it copies, uploaded like a bundle; absent when it copies none. */
  context: Digest.optional(),
  /** Builds it even where there is one, with nothing of the cache and the base as it is now. */
  rebuild: z.boolean().default(false),
});

/**
 * What there is, or is to be done first. Exactly one of:
 * `image`, ready or on its way; `ref`, an image that needs no build; `needs`: `context`, which must be uploaded, or `engine`: no node
 * has one, so that nothing can be built.
 */
export const EnsuredImage = z.object({
  image: Image.optional(),
  ref: z.string().optional(),
  needs: z.enum(["context", "engine"]).optional(),
});
export type EnsuredImage = z.infer<typeof EnsuredImage>;

const ById = z.object({ image: z.string().min(1).max(64) });

export const imageRoutes = {
  ensureImage: route(
    "POST",
    "/v1/images",
    "deploy",
    "An image of this description: the one that there is, or one that is built now",
    EnsureImage,
    EnsuredImage,
  ),
  listImages: route("GET", "/v1/images", "read", "Images that were built, newest first", Page, ImagePage),
  getImage: route("GET", "/v1/images/:image", "read", "One image, by id or digest", ById, Image),
  listImageLogs: route(
    "GET",
    "/v1/images/:image/logs",
    "read",
    "What its builds printed; as `text/event-stream` as it comes",
    ById.extend(Page.shape),
    ContainerLogPage,
  ),
  rebuildImage: route(
    "POST",
    "/v1/images/:image/build",
    "deploy",
    "Build an image again that failed, or with `rebuild` any, with nothing of the cache",
    ById.extend({ rebuild: z.boolean().default(true) }),
    Image,
  ),
  pruneImages: route(
    "POST",
    "/v1/images/prune",
    "deploy",
    "Remove images that no deployed function runs in",
    z.object({
      /** Only those that nobody has asked for in this time. */
      unusedFor: DurationText.default("0s"),
      dryRun: z.boolean().default(false),
    }),
    z.object({ images: z.array(Image) }),
  ),
} as const;

/** What a runner is to do about an image: build it, or remove what it has of it. Named until it has said how that ended. */
export const WantedBuild = z.object({
  image: z.string(),
  /** Counts the builds of this image: what is said of an earlier one is refused. */
  attempt: z.number().int(),
  do: z.enum(["build", "remove"]),
  containerfile: z.string(),
  context: Digest.nullable(),
  /** What to call it. */
  tag: z.string(),
  /** What nodes pull, once it was built. */
  ref: z.string().nullable(),
  /** Whether it is to be pushed there. */
  push: z.boolean(),
  /** Whether to remove it there: nobody else has one of the same digest. */
  unpush: z.boolean().default(false),
  /** The registry for which a secret holds the credentials. */
  registry: z.string().nullable(),
  rebuild: z.boolean(),
});
export type WantedBuild = z.infer<typeof WantedBuild>;

/** A line that a build printed: `[n, at, stream, text]`; `n` counts its lines. */
export const BuildLine = z.tuple([
  z.number().int().min(0).max(LIMITS.buildLogLines),
  z.number().int().min(0),
  z.enum(["stdout", "stderr", "system"]),
  z.string(),
]);
export type BuildLine = z.infer<typeof BuildLine>;

/** `POST /v1/nodes/{node}/builds/{image}`: what a build printed since, and how it ended if it has. May be repeated. */
export const BuildReport = z.object({
  attempt: z.number().int(),
  lines: z.array(BuildLine).max(10_000).default([]),
  end: z.union([
    z.object({ ref: z.string().max(512), size: z.number().int().min(0) }),
    z.object({ failure: z.string().max(LIMITS.failureMessageLength) }),
    /** It is gone from the node. `kept`: why its registry still has it. */
    z.object({ removed: z.literal(true), kept: z.string().max(LIMITS.failureMessageLength).optional() }),
    /** The node could not go on with it, through no fault of the build: it begins again, there or elsewhere. */
    z.object({ lost: z.string().max(LIMITS.failureMessageLength) }),
  ]).optional(),
});
export type BuildReport = z.infer<typeof BuildReport>;

/** Credentials of a registry, as a secret holds them. */
export const RegistryCredential = z.object({ username: z.string(), password: z.string() });
export type RegistryCredential = z.infer<typeof RegistryCredential>;
