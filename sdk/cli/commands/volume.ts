/** `berth volume`: folders that outlive containers, and the files in them. */
import type { Command } from "commander";
import { routes } from "../../protocol/routes.ts";
import type { Volume, VolumeFile } from "../../protocol/volumes.ts";
import { send } from "../../transport.ts";
import { type Cli, command, type Declare } from "../cli.ts";
import { usageError } from "../failure.ts";
import { collect, type ListOptions, listOptions, showList } from "../list.ts";
import type { Column } from "../table.ts";
import { getFiles, listFiles, type Moved, putFiles } from "../volume_files.ts";
import { count, relativeTime, size } from "../words.ts";

export const volume: Declare = (program, cli) => {
  const group = program.command("volume").description(
    "Folders that outlive containers, mounted into functions, and the files in them",
  );
  declareList(group, cli);
  declareCreate(group, cli);
  declarePut(group, cli);
  declareGet(group, cli);
  declareRemove(group, cli);
};

const NAME = ["<volume>", "name of the volume"] as const;

function declareList(group: Command, cli: Cli): void {
  const examples = ["berth volume ls", "berth volume ls digits inputs"];
  const summary = "List volumes, or what is in one; what `berth volume` alone does";
  listOptions(command(group, "ls", summary, examples, { isDefault: true }))
    .argument("[volume]", "show what is in this one")
    .argument("[path]", "in this folder of it")
    .action(cli.action<ListOptions>(async (job, options, name?: string, path = "") => {
      const now = job.shell.clock.now();
      if (name !== undefined) {
        const items = (await listFiles(job, name, path)).slice(0, options.all ? undefined : options.limit);
        return showList(job, { items }, { columns: fileColumns(now), empty: "Nothing is in it" });
      }
      const wire = job.wire();
      const page = await collect((page) => send(wire, routes.listVolumes, page), options);
      const empty = "No volumes. Make one: berth volume create NAME";
      showList(job, page, { columns: volumeColumns(now), empty });
    }));
}

function declareCreate(group: Command, cli: Cli): void {
  const examples = ["berth volume create digits", "berth volume create weights --on shared"];
  command(group, "create", "Make a volume, or find the one that is there", examples)
    .argument(...NAME)
    .option("--on <storage>", "`node`: on one node; `shared`: on a path that nodes share (their --volumes)")
    .option("--node <node>", "the node that is to have it; by default the first that writes to it")
    .action(cli.action<{ on?: string; node?: string }>(async (job, { on, node }, name = "") => {
      const made = await send(job.wire(), routes.createVolume, {
        volume: name,
        ...(on === undefined ? {} : { storage: storageOf(on) }),
        ...(node === undefined ? {} : { node }),
      });
      job.output.result(made, () => `${made.name}, ${placeOf(made)}`);
    }));
}

function declarePut(group: Command, cli: Cli): void {
  const examples = [
    "berth volume put digits inputs               # the folder, as inputs",
    "berth volume put digits inputs .             # what is in it",
    "berth volume put weights model.bin models/   # as models/model.bin",
  ];
  command(group, "put", "Copy a file or folder into a volume", examples)
    .argument(...NAME)
    .argument("<from>", "file or folder here")
    .argument(
      "[path]",
      "what it is called there, or the folder that it goes into, with a slash; by default its name",
    )
    .action(cli.action(async (job, _options, name = "", from = "", to = "") => {
      const put = await putFiles(job, { volume: name, from, to });
      job.output.result({ volume: name, ...put }, () => `Put ${movedText(put)} into ${name}, as ${put.path}`);
    }));
}

function declareGet(group: Command, cli: Cli): void {
  const examples = ["berth volume get digits results", "berth volume get weights models/model.bin /tmp"];
  command(group, "get", "Copy a file or folder out of a volume", examples)
    .argument(...NAME)
    .argument("<path>", "file or folder there; `.` for all of it")
    .argument(
      "[to]",
      "where to; into it, where it is a folder; by default its own name, if there is no such file",
    )
    .action(cli.action(async (job, _options, name = "", from = "", to?: string) => {
      const got = await getFiles(job, { volume: name, from, to });
      job.output.result({ volume: name, ...got }, () => `Got ${movedText(got)}: ${got.path}`);
    }));
}

function declareRemove(group: Command, cli: Cli): void {
  command(group, "rm", "Delete a volume that no deployed function names, and all that is in it, for good")
    .argument(...NAME)
    .option("--force", "also one that functions name: they don't start any more")
    .action(cli.action<{ force?: boolean }>(async (job, { force }, name = "") => {
      const forced = force ? { force: "true" } : {};
      const gone = await send(job.wire(), routes.deleteVolume, { volume: name, ...forced });
      job.output.result(gone, () => `${gone.volume} deleted`);
    }));
}

function storageOf(text: string): Volume["storage"] {
  if (text === "node" || text === "shared") return text;
  throw usageError(`Cannot use --on ${text}: it must be \`node\` or \`shared\``);
}

const movedText = ({ files, bytes }: Moved): string => `${count(files, "file")}, ${size(bytes)},`;

function placeOf({ storage, home, node }: Volume): string {
  if (storage === "shared") return "on a shared path";
  return home === null ? "on the first node that writes to it" : `on node ${node ?? home}`;
}

const volumeColumns = (now: number): Column<Volume>[] => [
  { title: "VOLUME", text: ({ name }) => name },
  { title: "LIES", text: placeOf },
  { title: "SIZE", text: ({ size: bytes }) => bytes === null ? "–" : size(bytes), align: "right" },
  { title: "MEASURED", text: ({ measuredAt }) => relativeTime(measuredAt, now) },
  { title: "MADE", text: ({ createdAt }) => relativeTime(createdAt, now) },
];

const fileColumns = (now: number): Column<VolumeFile>[] => [
  {
    title: "NAME",
    text: ({ name, kind }) => kind === "folder" ? `${name}/` : kind === "link" ? `${name}@` : name,
  },
  { title: "SIZE", text: ({ kind, bytes }) => kind === "file" ? size(bytes) : "–", align: "right" },
  { title: "CHANGED", text: ({ modifiedAt }) => relativeTime(modifiedAt, now) },
];
