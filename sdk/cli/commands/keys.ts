/** `berth keys`: who may use a workspace, and for what. */
import { type Command, Option } from "commander";
import { routes, Scope } from "../../protocol.ts";
import type { ApiKey } from "../../protocol/workspaces.ts";
import { send } from "../../transport.ts";
import { type Cli, command, type Declare } from "../cli.ts";
import { collect, type ListOptions, listOptions, showList } from "../list.ts";
import type { Column } from "../table.ts";
import { relativeTime } from "../words.ts";

interface Target {
  readonly workspace: string;
}

export const keys: Declare = (program, cli) => {
  const group = program.command("keys").description(
    "Keys of a workspace; needs an admin key of it, or of workspace default",
  );
  declareList(group, cli);
  declareCreate(group, cli);
  declareRevoke(group, cli);
};

const ofWorkspace = (command: Command): Command =>
  command.option("--workspace <name>", "whose keys they are", "default");

function declareList(group: Command, cli: Cli): void {
  const made = command(group, "list", "List keys; what `berth keys` alone does", [], { isDefault: true });
  ofWorkspace(listOptions(made)).option("--revoked", "also those that were revoked")
    .action(cli.action<ListOptions & Target & { revoked?: boolean }>(async (job, options) => {
      const wire = job.wire();
      const { workspace, revoked } = options;
      const filter = { workspace, ...(revoked ? { revoked: "true" } : {}) };
      const page = await collect((page) => send(wire, routes.listKeys, { ...filter, ...page }), options);
      showList(job, page, {
        columns: columnsAt(job.shell.clock.now()),
        empty: `Workspace "${workspace}" has no keys. Make one: berth keys create --workspace ${workspace}`,
      });
    }));
}

function declareCreate(group: Command, cli: Cli): void {
  const examples = [
    "berth keys create --workspace research --scope admin",
    "berth keys create --scope invoke --name website",
  ];
  ofWorkspace(command(group, "create", "Make a key, and print it this once", examples))
    .addOption(
      new Option("--scope <scope>", "what it may do; each includes those after it")
        .choices(Scope.options).default("invoke"),
    )
    .option("--name <name>", "to tell it from others", "unnamed")
    .action(cli.action<Target & { scope: Scope; name: string }>(async (job, { workspace, scope, name }) => {
      const made = await send(job.wire(), routes.createKey, { workspace, name, scope });
      job.output.result(made, () => made.key);
      job.output.note(job.output.tint("dim", `Keep it: it is not shown again. Its id is ${made.id}`));
    }));
}

function declareRevoke(group: Command, cli: Cli): void {
  ofWorkspace(command(group, "revoke", "Revoke a key: within seconds it is refused"))
    .argument("<key>", "id of the key, as `berth keys` lists it")
    .action(cli.action<Target>(async (job, { workspace }, key = "") => {
      const revoked = await send(job.wire(), routes.revokeKey, { workspace, key });
      job.output.result(revoked, () => `${revoked.id} revoked`);
    }));
}

const columnsAt = (now: number): Column<ApiKey>[] => [
  { title: "KEY", text: ({ id }) => id },
  { title: "NAME", text: ({ name }) => name },
  { title: "SCOPE", text: ({ scope }) => scope },
  { title: "CREATED", text: ({ createdAt }) => relativeTime(createdAt, now) },
  { title: "", text: ({ revokedAt }) => revokedAt === null ? "" : `revoked ${relativeTime(revokedAt, now)}` },
];
