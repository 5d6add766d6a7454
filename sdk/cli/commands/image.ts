/** `berth image`: images that the platform builds. */
import { dirname, extname } from "node:path";
import type { Command } from "commander";
import type { Image } from "../../protocol/images.ts";
import { routes } from "../../protocol/routes.ts";
import { PlatformError } from "../../errors.ts";
import { send } from "../../transport.ts";
import { buildImages, type BuiltImage, ready } from "../build_images.ts";
import { type Cli, command, type Declare, type Job } from "../cli.ts";
import { packFile } from "../deploy_app.ts";
import { usageError } from "../failure.ts";
import { collect, type ListOptions, listOptions, showList } from "../list.ts";
import { type Column, table } from "../table.ts";
import { count, relativeTime, size } from "../words.ts";

export const image: Declare = (program, cli) => {
  const group = program.command("image").description("Images that the platform builds for functions");
  declareList(group, cli);
  declareBuild(group, cli);
  declarePrune(group, cli);
};

function declareList(group: Command, cli: Cli): void {
  const summary = "List images, newest first; what `berth image` alone does";
  listOptions(command(group, "ls", summary, ["berth image ls", "berth image ls --json"], { isDefault: true }))
    .action(cli.action<ListOptions>(async (job, options) => {
      const wire = job.wire();
      const page = await collect((page) => send(wire, routes.listImages, page), options);
      const columns = columnsAt(job.shell.clock.now());
      showList(job, page, {
        columns,
        empty: "No images. Deploy a function with image: Image.python().pipInstall(…)",
      });
    }));
}

interface BuildFlags {
  readonly rebuild?: boolean;
  readonly check: boolean;
}

function declareBuild(group: Command, cli: Cli): void {
  const examples = [
    "berth image build app.ts                 # those of its functions, without deploying them",
    "berth image build img_01h… --rebuild     # one again, with nothing of the cache",
  ];
  command(group, "build", "Build the images of a file, or one again", examples)
    .argument("<what>", "module that exports functions, or the id or digest of an image")
    .option("--rebuild", "build what is there already, with nothing of the cache and the base as it is now")
    .option("--no-check", "skip the type check")
    .action(cli.action<BuildFlags>(async (job, { rebuild = false, check }, what = "") => {
      const built = extname(what) === "" && dirname(what) === "."
        ? await buildOne(job, what, rebuild)
        : await buildFile(job, what, { rebuild, check });
      job.output.result({ images: built }, () => table(built, BUILT_COLUMNS, styleOf(job)));
    }));
}

async function buildFile(
  job: Job,
  file: string,
  { rebuild, check }: { rebuild: boolean; check: boolean },
): Promise<BuiltImage[]> {
  const wire = job.wire();
  const packed = await packFile(job, file, check);
  if (Object.keys(packed.images).length === 0) {
    throw usageError(`Cannot build ${file}: none of its functions has an image that must be built`);
  }
  return (await buildImages(job, wire, packed, { rebuild })).built;
}

async function buildOne(job: Job, called: string, rebuild: boolean): Promise<BuiltImage[]> {
  const wire = job.wire();
  const asked = await send(wire, routes.rebuildImage, { image: called, rebuild });
  const built = await ready(job, wire, asked);
  return [{ functions: built.usedBy, ref: built.ref, image: built }];
}

function declarePrune(group: Command, cli: Cli): void {
  const examples = ["berth image prune --dry-run", "berth image prune --unused-for 30d"];
  command(group, "prune", "Remove images that no deployed function runs in", examples)
    .option("--unused-for <duration>", "only those that nobody has deployed in this time", "0s")
    .option("--dry-run", "only say which")
    .action(
      cli.action<{ unusedFor: string; dryRun?: boolean }>(async (job, { unusedFor, dryRun = false }) => {
        const { images } = await send(job.wire(), routes.pruneImages, { unusedFor, dryRun });
        const { going, kept } = dryRun ? { going: images.length, kept: [] } : await watchGo(job, images);
        job.output.result({ images, kept }, () => {
          if (images.length === 0) return "Nothing to remove";
          const freed = size(images.reduce((sum, image) => sum + (image.size ?? 0), 0));
          const verb = dryRun ? "would be" : going > 0 ? "are being" : "are";
          const said = `${count(images.length, "image")}, ${freed}, ${verb} removed`;
          const reasons = Map.groupBy(kept, ({ failure }) => failure ?? "");
          const notes = [...reasons].map(([why, some]) => `\n${count(some.length, "image")}: ${why}`);
          return `${table(images, columnsAt(job.shell.clock.now()), styleOf(job))}\n\n${said}${
            notes.join("")
          }`;
        });
      }),
    );
}

/** A removal takes a moment on its node; one whose node is away takes as long as that. */
const GO_MS = 10_000;
const GO_LOOK_MS = 200;

/** Waits a while for images to go: how many have not, and those that their registry keeps. */
async function watchGo(job: Job, images: readonly Image[]): Promise<{ going: number; kept: Image[] }> {
  const { clock } = job.shell, wire = job.wire();
  const until = clock.now() + GO_MS;
  const going = new Set(images.map(({ id }) => id)), kept: Image[] = [];
  while (going.size > 0 && clock.now() < until) {
    for (const id of going) {
      const image = await send(wire, routes.getImage, { image: id }).catch(unlessGone);
      if (image?.state === "left") kept.push(image);
      if (image?.state !== "removing") going.delete(id);
    }
    if (going.size > 0) await clock.sleep(GO_LOOK_MS);
  }
  return { going: going.size, kept };
}

function unlessGone(error: unknown): null {
  if (error instanceof PlatformError && error.code === "not_found") return null;
  throw error;
}

const styleOf = ({ output }: Job) => ({
  columns: output.columns,
  strong: (text: string) => output.paint("bold", text),
});

const columnsAt = (now: number): Column<Image>[] => [
  { title: "IMAGE", text: ({ id }) => id },
  { title: "DIGEST", text: ({ digest }) => digest.slice(0, 12) },
  { title: "STATE", text: ({ state }) => state },
  { title: "SIZE", text: ({ size: bytes }) => bytes === null ? "–" : size(bytes), align: "right" },
  { title: "USED BY", text: ({ usedBy }) => usedBy.join(", ") || "–" },
  { title: "BUILT", text: ({ endedAt }) => relativeTime(endedAt, now) },
];

const BUILT_COLUMNS: Column<BuiltImage>[] = [
  { title: "FUNCTIONS", text: ({ functions }) => functions.join(", ") || "–" },
  { title: "IMAGE", text: ({ ref }) => ref ?? "none: plain processes" },
  { title: "SIZE", text: ({ image }) => image?.size ? size(image.size) : "–", align: "right" },
];
