/** `berth artifact`: versions of models and other bytes, who made them, and the aliases that point at them. */
import { basename, resolve } from "node:path";
import type { Command } from "commander";
import type { Artifact, ArtifactVersion } from "../../protocol/artifacts.ts";
import { routes } from "../../protocol/routes.ts";
import { send } from "../../transport.ts";
import { type Cli, command, type Declare } from "../cli.ts";
import { usageError } from "../failure.ts";
import { collect, type ListOptions, listOptions, showList } from "../list.ts";
import { rows } from "../node_view.ts";
import type { Column } from "../table.ts";
import { fetchFile, hashFile, publishFile } from "../transfer.ts";
import { relativeTime, size } from "../words.ts";

export const artifact: Declare = (program, cli) => {
  const group = program.command("artifact").description(
    "Versions of models and other files, who made them, and the aliases that point at them",
  );
  declareList(group, cli);
  declareShow(group, cli);
  declareGet(group, cli);
  declarePut(group, cli);
  declareAliases(group, cli);
  declareRemove(group, cli);
};

const NAME = ["<name>", "name of the artifact"] as const;
const REF = ["<ref>", "NAME (its newest version), NAME@VERSION or NAME@ALIAS"] as const;

function declareList(group: Command, cli: Cli): void {
  const examples = ["berth artifact ls", "berth artifact ls model"];
  const summary = "List artifacts, or the versions of one; what `berth artifact` alone does";
  listOptions(command(group, "ls", summary, examples, { isDefault: true }))
    .argument("[name]", "show the versions of this one")
    .action(cli.action<ListOptions>(async (job, options, name?: string) => {
      const wire = job.wire();
      const now = job.shell.clock.now();
      if (name === undefined) {
        const page = await collect((page) => send(wire, routes.listArtifacts, page), options);
        const empty = "No artifacts. `ctx.artifact(name, content)` or `berth artifact put` makes one";
        return showList(job, page, { columns: artifactColumns(now), empty });
      }
      const page = await collect(
        (page) => send(wire, routes.listArtifactVersions, { name, ...page }),
        options,
      );
      showList(job, page, { columns: versionColumns(now), empty: "No more versions" });
    }));
}

function declareShow(group: Command, cli: Cli): void {
  command(group, "show", "Show one version and who made it", ["berth artifact show model@production"])
    .argument(...REF)
    .action(cli.action(async (job, _options, ref = "") => {
      const found = await send(job.wire(), routes.getArtifact, { ref });
      job.output.result(found, () => versionText(found, job.shell.clock.now()));
    }));
}

function declareGet(group: Command, cli: Cli): void {
  const examples = ["berth artifact get model", "berth artifact get model@production -o weights.bin"];
  command(group, "get", "Fetch a version into a file", examples).argument(...REF)
    .option("-o, --output <file>", "where to; by default the name of the artifact, if there is no such file")
    .action(cli.action<{ output?: string }>(async (job, { output }, ref = "") => {
      const wire = job.wire();
      const found = await send(wire, routes.getArtifact, { ref });
      const path = resolve(job.shell.cwd, output ?? found.name);
      if (output === undefined) await refuseIfThere(path);
      const one = `${found.name}@${found.version}`; // the alias may move meanwhile
      await fetchFile(job, wire, `/v1/artifacts/${encodeURIComponent(one)}/content`, { ...found, path });
      job.output.result({ ...found, file: path }, () => `${one}, ${size(found.size)}, is in ${path}`);
    }));
}

function declarePut(group: Command, cli: Cli): void {
  const examples = ["berth artifact put model weights.bin"];
  command(group, "put", "Upload a file as the next version", examples).argument(...NAME)
    .argument("<file>", "file to upload")
    .action(cli.action(async (job, _options, name = "", file = "") => {
      const sent = await hashFile(job, resolve(job.shell.cwd, file));
      const made = await publishFile(job, job.wire(), name, sent);
      const text = `${made.name}@${made.version}, ${size(made.size)}, from ${basename(file)}`;
      job.output.result(made, () => text);
    }));
}

function declareAliases(group: Command, cli: Cli): void {
  const examples = [
    "berth artifact alias model production 3",
    "berth artifact alias model production 4 --from 3",
  ];
  command(group, "alias", "Point an alias at a version", examples).argument(...NAME)
    .argument("<alias>", "such as production")
    .argument("<version>", "number of the version")
    .option("--from <version>", "only if it points there now; `none`: if there is no such alias")
    .action(cli.action<{ from?: string }>(async (job, options, name = "", alias = "", version = "") => {
      const from = options.from === undefined
        ? {}
        : { from: options.from === "none" ? null : versionOf(options.from) };
      const asked = { name, alias, version: versionOf(version), ...from };
      const found = await send(job.wire(), routes.moveArtifactAlias, asked);
      job.output.result(found, () => `${name}@${alias} is version ${found.version}`);
    }));
  command(group, "unalias", "Remove an alias; the version stays").argument(...NAME)
    .argument("<alias>", "such as production")
    .action(cli.action(async (job, _options, name = "", alias = "") => {
      const removed = await send(job.wire(), routes.deleteArtifactAlias, { name, alias });
      job.output.result(removed, () => `${name}@${alias} removed, it was version ${removed.version}`);
    }));
}

function declareRemove(group: Command, cli: Cli): void {
  const summary = "Delete a version that no alias points at, for good";
  command(group, "rm", summary, ["berth artifact rm model@2"]).argument("<ref>", "NAME@VERSION")
    .action(cli.action(async (job, _options, ref = "") => {
      const deleted = await send(job.wire(), routes.deleteArtifact, { ref });
      job.output.result(deleted, () => `${deleted.name}@${deleted.version} deleted`);
    }));
}

const artifactColumns = (now: number): Column<Artifact>[] => [
  { title: "ARTIFACT", text: ({ name }) => name },
  { title: "NEWEST", text: ({ newest }) => String(newest.version), align: "right" },
  { title: "VERSIONS", text: ({ versions }) => String(versions), align: "right" },
  { title: "SIZE", text: ({ newest }) => size(newest.size), align: "right" },
  { title: "MADE", text: ({ newest }) => relativeTime(newest.createdAt, now) },
  {
    title: "ALIASES",
    text: ({ aliases }) =>
      Object.entries(aliases).map(([alias, version]) => `${alias}=${version}`).join(", "),
  },
];

const versionColumns = (now: number): Column<ArtifactVersion>[] => [
  { title: "VERSION", text: ({ version }) => String(version), align: "right" },
  { title: "SIZE", text: (one) => size(one.size), align: "right" },
  { title: "MADE", text: ({ createdAt }) => relativeTime(createdAt, now) },
  { title: "BY", text: makerText },
  { title: "ALIASES", text: ({ aliases }) => aliases.join(", ") },
];

function versionText(one: ArtifactVersion, now: number): string {
  return rows([
    ["artifact", `${one.name}@${one.version}`],
    ...(one.aliases.length === 0 ? [] : [["aliases", one.aliases.join(", ")] as const]),
    ["size", size(one.size)],
    ["sha256", one.digest],
    ["made", relativeTime(one.createdAt, now)],
    ["by", makerText(one)],
  ]);
}

function makerText({ madeBy }: ArtifactVersion): string {
  if (madeBy === null) return "uploaded";
  return `${madeBy.app}/${madeBy.function}, ${madeBy.call}, attempt ${madeBy.attempt}`;
}

function versionOf(text: string): number {
  const version = Number(text);
  if (Number.isInteger(version) && version > 0) return version;
  throw usageError(`Cannot use "${text}" as a version: it must be a whole number above 0`);
}

async function refuseIfThere(path: string): Promise<void> {
  if (await Deno.lstat(path).catch(() => null) === null) return;
  throw usageError(`Cannot write ${path}: it is there already`, `To replace it: -o ${path}`);
}
