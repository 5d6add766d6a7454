/** `berth secret`: values for functions, which come in and are not shown again. */
import type { Command } from "commander";
import { routes } from "../../protocol/routes.ts";
import type { Secret } from "../../protocol/secrets.ts";
import { send } from "../../transport.ts";
import { type Cli, command, type Declare } from "../cli.ts";
import { usageError } from "../failure.ts";
import { collect, type ListOptions, listOptions, showList } from "../list.ts";
import { readValues } from "../secret_values.ts";
import type { Column } from "../table.ts";
import { relativeTime } from "../words.ts";

export const secret: Declare = (program, cli) => {
  const group = program.command("secret").description("Values that functions are given and nobody is shown");
  declareSet(group, cli);
  declareList(group, cli);
  declareRemove(group, cli);
  declareReseal(group, cli);
};

function declareSet(group: Command, cli: Cli): void {
  const examples = [
    "berth secret set hf HF_TOKEN                       # asks for it, and does not show it",
    "berth secret set db USER=ann PASSWORD=@password.txt",
    "pass show db | berth secret set db PASSWORD=-      # from standard input",
    "berth secret set db --unset USER",
  ];
  const summary =
    "Make a secret, or change values of one; the others stay. What stands on a command line can be seen by others on this machine";
  command(group, "set", summary, examples)
    .argument("<secret>", "name of the secret")
    .argument("[values...]", "KEY to be asked for it, KEY=- from standard input, KEY=@FILE, or KEY=VALUE")
    .option("--unset <keys...>", "remove these")
    .action(cli.action<{ unset?: string[] }>(async (job, { unset = [] }, name = "", ...given) => {
      const values = await readValues(job.shell, given);
      if (Object.keys(values).length + unset.length === 0) {
        throw usageError(
          `Cannot set secret "${name}": no value is given`,
          `For one, say: berth secret set ${name} KEY`,
        );
      }
      const set = await send(job.wire(), routes.setSecret, { secret: name, values, unset });
      job.output.result(set, () => `${set.name}, version ${set.version}: ${set.keys.join(", ")}`);
    }));
}

function declareList(group: Command, cli: Cli): void {
  const summary = "List secrets and the names of their values; what `berth secret` alone does";
  listOptions(command(group, "ls", summary, [], { isDefault: true }))
    .action(cli.action<ListOptions>(async (job, options) => {
      const wire = job.wire();
      const page = await collect((page) => send(wire, routes.listSecrets, page), options);
      const columns = columnsAt(job.shell.clock.now());
      showList(job, page, { columns, empty: "No secrets. Make one: berth secret set NAME KEY" });
    }));
}

function declareRemove(group: Command, cli: Cli): void {
  command(group, "rm", "Delete a secret that no deployed function names")
    .argument("<secret>", "name of the secret")
    .option("--force", "also one that functions name: they don't start any more")
    .action(cli.action<{ force?: boolean }>(async (job, { force }, name = "") => {
      const forced = force ? { force: "true" } : {};
      const gone = await send(job.wire(), routes.deleteSecret, { secret: name, ...forced });
      job.output.result(gone, () => `${gone.secret} deleted`);
    }));
}

function declareReseal(group: Command, cli: Cli): void {
  const summary = "Seal all secrets with the newest master key, so that the old one can go; for operators";
  command(group, "reseal", summary).action(cli.action(async (job) => {
    const done = await send(job.wire(), routes.resealSecrets, {});
    job.output.result(
      done,
      () =>
        `${done.resealed} ${done.resealed === 1 ? "secret" : "secrets"} sealed anew, with key ${done.keyId}`,
    );
  }));
}

const columnsAt = (now: number): Column<Secret>[] => [
  { title: "SECRET", text: ({ name }) => name },
  { title: "VERSION", text: ({ version }) => String(version), align: "right" },
  { title: "KEYS", text: ({ keys }) => keys.join(", ") },
  { title: "CHANGED", text: ({ updatedAt }) => relativeTime(updatedAt, now) },
];
