/** `berth pools`: sets of like nodes, and how they come and go. */
import type { Command } from "commander";
import type { JoinToken, Pool } from "../../protocol/pools.ts";
import { routes } from "../../protocol/routes.ts";
import { send } from "../../transport.ts";
import { type Cli, command, type Declare } from "../cli.ts";
import { collect, type ListOptions, listOptions, showList } from "../list.ts";
import { type PoolFlags, poolOptions, poolSettings } from "../pool_options.ts";
import { poolText } from "../pool_view.ts";
import type { Column } from "../table.ts";
import { relativeTime, trim } from "../words.ts";

export const pools: Declare = (program, cli) => {
  const group = program.command("pools").description(
    "Make pools of nodes, let them grow and shrink, and let machines join",
  );
  declareList(group, cli);
  declareShow(group, cli);
  declareCreate(group, cli);
  declareSet(group, cli);
  declareMoves(group, cli);
  declareToken(group, cli);
};

const POOL = ["<pool>", "name of the pool"] as const;
/** Provisions that are shown with a pool. */
const SHOWN = 10;

function declareList(group: Command, cli: Cli): void {
  listOptions(command(group, "list", "List pools; what `berth pools` alone does", [], { isDefault: true }))
    .action(cli.action<ListOptions>(async (job, options) => {
      const wire = job.wire();
      const page = await collect((page) => send(wire, routes.listPools, page), options);
      showList(job, page, { columns: COLUMNS, empty: "No pools. `berth pools create` makes one" });
    }));
}

function declareShow(group: Command, cli: Cli): void {
  command(group, "show", "Show one pool, with the nodes it was last asked for").argument(...POOL)
    .action(cli.action(async (job, _options, pool = "") => {
      const wire = job.wire();
      const found = await send(wire, routes.getPool, { pool });
      const { items } = await send(wire, routes.listProvisions, { pool, limit: SHOWN });
      job.output.result({ ...found, provisions: items }, () => poolText(found, items, job.shell.clock.now()));
    }));
}

function declareCreate(group: Command, cli: Cli): void {
  const examples = [
    "berth pools create gpu --provider local --max 4 --cpu 8 --memory 32GiB --gpus 2xL4 --devices 0,1,2,3,4,5,6,7",
    "berth pools create spot --provider local --max 10 --cpu 4 --memory 16GiB --cost 0.3 --idle-timeout 2m",
    "berth pools create office --provider static",
  ];
  poolOptions(
    command(group, "create", "Make a pool", examples).argument(...POOL)
      .requiredOption(
        "--provider <name>",
        "who brings its nodes: local (runners on the platform's machine) or static (they join)",
      ),
  ).action(cli.action<PoolFlags & { provider: Pool["provider"] }>(async (job, flags, name = "") => {
    const settings = poolSettings(flags, { shape: null, config: {} });
    const made = await send(job.wire(), routes.createPool, { name, provider: flags.provider, ...settings });
    job.output.result(made, () => poolText(made, [], job.shell.clock.now()));
    if (made.provider === "static") job.output.note(`Let machines join: berth pools token ${name}`);
  }));
}

function declareSet(group: Command, cli: Cli): void {
  const examples = ["berth pools set gpu --max 8", "berth pools set gpu --min 1 --idle-timeout 10m"];
  poolOptions(command(group, "set", "Change settings of a pool; the others stay", examples).argument(...POOL))
    .action(cli.action<PoolFlags>(async (job, flags, pool = "") => {
      const wire = job.wire();
      const settings = poolSettings(flags, await send(wire, routes.getPool, { pool }));
      const changed = await send(wire, routes.updatePool, { pool, ...settings });
      job.output.result(changed, () => poolText(changed, [], job.shell.clock.now()));
    }));
}

function declareMoves(group: Command, cli: Cli): void {
  const one = (name: string, route: "drainPool" | "resumePool", summary: string) =>
    command(group, name, summary).argument(...POOL).action(cli.action(async (job, _options, pool = "") => {
      const changed = await send(job.wire(), routes[route], { pool });
      job.output.result(changed, () => `${changed.name} ${changed.state}, ${nodesOf(changed)} nodes`);
    }));
  one("drain", "drainPool", "Let a pool go empty: its nodes end what they do and go, it asks for no more");
  one("resume", "resumePool", "Let a pool that drains grow again");
  command(group, "delete", "Delete a pool that has no nodes").argument(...POOL)
    .action(cli.action(async (job, _options, pool = "") => {
      const deleted = await send(job.wire(), routes.deletePool, { pool });
      job.output.result(deleted, () => `${pool} deleted`);
    }));
}

function declareToken(group: Command, cli: Cli): void {
  const examples = ["berth pools token office", "berth pools token office --expires 10m"];
  command(group, "token", "Make a token with which machines join a pool", examples).argument(...POOL)
    .option("--expires <time>", "how long it can be used; machines that have joined stay", "1h")
    .action(cli.action<{ expires: string }>(async (job, { expires }, pool = "") => {
      const made = await send(job.wire(), routes.createJoinToken, { pool, expiresIn: expires });
      job.output.result(made, () => made.token);
      job.output.note(job.output.tint("dim", hint(job.shell.profile().url, made, job.shell.clock.now())));
    }));
}

const hint = (url: string, { token, expiresAt }: JoinToken, now: number): string =>
  `Expires ${relativeTime(expiresAt, now)}. On the machine: berth join ${url} --token ${token}`;

const COLUMNS: Column<Pool>[] = [
  { title: "POOL", text: ({ name }) => name },
  { title: "PROVIDER", text: ({ provider }) => provider },
  { title: "STATE", text: ({ state }) => state },
  { title: "NODES", text: nodesOf, align: "right" },
  { title: "MIN–MAX", text: ({ min, max }) => max === 0 ? "–" : `${min}–${max}` },
  { title: "GPUS FREE", text: ({ gpus, gpusFree }) => `${trim(gpusFree)}/${gpus}` },
  { title: "FAILURE", text: ({ failure }) => failure?.message ?? "" },
];

/** `2`, or `2 + 1` with those that are on their way. */
function nodesOf({ nodes, starting }: Pool): string {
  return starting === 0 ? String(nodes) : `${nodes} + ${starting}`;
}
