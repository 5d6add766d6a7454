/** Uploads what was packed and makes it the newest deployment of an app. */
import { relative, resolve } from "node:path";
import { type Deployment } from "../protocol/apps.ts";
import { routes, STREAM_PATHS } from "../protocol/routes.ts";
import { exchange, send, type Wire } from "../transport.ts";
import { buildImages, type BuiltImage } from "./build_images.ts";
import type { Job } from "./cli.ts";
import { pack, type Packed } from "./pack.ts";

/** Packs the user's file, with a word about what takes long. */
export async function packFile({ shell, output }: Job, file: string, check: boolean): Promise<Packed> {
  const path = resolve(shell.cwd, file);
  output.status(`Bundling ${relative(shell.cwd, path) || file}`);
  try {
    const packed = await pack(shell, { path, typeCheck: check });
    for (const warning of packed.warnings) output.note(output.tint("yellow", `warning: ${warning}`));
    return packed;
  } finally {
    output.clearStatus();
  }
}

/** Makes `packed` the newest deployment of `app`, once its images are built. What was deployed before stays until then. */
export async function deployPacked(
  job: Job,
  wire: Wire,
  packed: Packed,
  app: string,
): Promise<Deployment & { images: BuiltImage[] }> {
  const { output } = job;
  const { bytes, digest } = packed;
  const { manifest, built } = await buildImages(job, wire, packed);
  output.status(`Uploading ${Math.ceil(bytes.length / 1024)} KiB`);
  try {
    const path = STREAM_PATHS.bundle.replace(":digest", digest);
    await exchange(wire, { method: "PUT", path, body: bytes }, (stored) => stored.text());
    const deployment = await send(wire, routes.createDeployment, { app, bundle: digest, manifest });
    return { ...deployment, images: built };
  } finally {
    output.clearStatus();
  }
}
