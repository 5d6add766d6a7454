/** Volumes: named folders of a workspace that outlive containers, mounted into the functions that name them. */
import { z } from "zod";
import { mountsProblem } from "../mount_paths.ts";
import { LIMITS } from "./limits.ts";
import { Name, Page, pageOf, Timestamp } from "./primitives.ts";
import { route } from "./route.ts";

/** A volume that a function mounts. */
export const VolumeRef = z.strictObject({
  name: Name,
  /** Whether it is only read there. */
  readOnly: z.boolean().default(false),
  /** Whether the deployment makes it where the workspace has none of this name. */
  create: z.boolean().default(false),
});
export type VolumeRef = z.infer<typeof VolumeRef>;

/** Volumes by where they are mounted. */
export const Mounts = z.record(z.string().max(256), VolumeRef).superRefine((mounts, ctx) => {
  const problem = mountsProblem(mounts, LIMITS.volumesPerFunction);
  if (problem !== null) ctx.addIssue({ code: "custom", ...problem });
});
export type Mounts = z.infer<typeof Mounts>;

/** Where the bytes of a volume lie: on one node, or on a path that several nodes share. */
export const VolumeStorage = z.enum(["node", "shared"], { error: 'must be "node" or "shared"' });
export type VolumeStorage = z.infer<typeof VolumeStorage>;

export const Volume = z.object({
  name: Name,
  storage: VolumeStorage,
  /** The node that has it, or the id of the shared path; null: nothing has been written to it. */
  home: z.string().nullable(),
  /** Name of that node. */
  node: z.string().nullable(),
  /** Bytes on disk, as last measured; null: not yet. */
  size: z.number().int().nullable(),
  measuredAt: Timestamp.nullable(),
  createdAt: Timestamp,
});
export type Volume = z.infer<typeof Volume>;

const ByVolume = z.object({ volume: Name });

/** Whoever may deploy code may see what that code works on: so the scope `deploy` is needed and enough for its files. */
export const volumeRoutes = {
  listVolumes: route("GET", "/v1/volumes", "read", "Volumes by name", Page, pageOf(Volume)),
  getVolume: route("GET", "/v1/volumes/:volume", "read", "One volume", ByVolume, Volume),
  createVolume: route(
    "POST",
    "/v1/volumes/:volume",
    "deploy",
    "Make a volume, or find the one that is there",
    ByVolume.extend({
      /** By default `shared` where a node that is up has a shared path, else `node`. */
      storage: VolumeStorage.optional(),
      /** Id or name of the node that is to have it. By default the first that writes to it. */
      node: z.string().min(1).max(128).optional(),
    }),
    Volume,
  ),
  deleteVolume: route(
    "DELETE",
    "/v1/volumes/:volume",
    "deploy",
    "Delete a volume that no deployed function names, or with `force` any. Its bytes go when its node is up and nothing uses them",
    ByVolume.extend({ force: z.stringbool().optional() }),
    ByVolume,
  ),
} as const;

/** A folder of a runner: the bytes of a volume. */
export const VolumeFolder = z.object({
  id: z.string().regex(/^vol_[0-9a-z]+$/, "must be the id of a volume"),
  storage: VolumeStorage,
});
export type VolumeFolder = z.infer<typeof VolumeFolder>;

/** A volume that a container is given. */
export const MountedVolume = VolumeFolder.extend({
  name: Name,
  /** Where its function mounts it. */
  path: z.string(),
  readOnly: z.boolean(),
});
export type MountedVolume = z.infer<typeof MountedVolume>;

/** What a runner found out about the size of one. */
export const VolumeSize = z.object({ id: z.string(), size: z.number().int().min(0) });
export type VolumeSize = z.infer<typeof VolumeSize>;

/**
 * Files of a volume: `GET /v1/volumes/{volume}/files` as a WebSocket, with a key of scope `deploy`. It speaks as a command inside a
 * container does (exec.ts), to the runner of a node that has the volume; `command` is one of these, PATH relative to the volume:
 *
 * - `stat PATH`: prints `{"kind", "bytes", "files"}`, what there is in all
 * - `ls PATH`: prints a {@link VolumeFile} a line
 * - `get PATH`: prints a tar of the file, or of what is in the folder
 * - `put PATH`: reads a tar, and puts what is in it into the folder PATH, which it makes; each file is there once it is whole
 */
export const VOLUME_PATHS = { files: "/v1/volumes/:volume/files" } as const;

export const VolumeFile = z.object({
  name: z.string(),
  kind: z.enum(["file", "folder", "link", "other"]),
  bytes: z.number().int(),
  modifiedAt: Timestamp,
});
export type VolumeFile = z.infer<typeof VolumeFile>;

/** What there is below a path. */
export const VolumeStat = z.object({
  kind: z.enum(["file", "folder"]),
  bytes: z.number().int(),
  files: z.number().int(),
});
export type VolumeStat = z.infer<typeof VolumeStat>;
