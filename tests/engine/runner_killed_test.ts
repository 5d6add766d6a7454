import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { clientOf } from "../setup/components/engines.ts";
import { command } from "../setup/components/daemon.ts";
import { imageOf } from "../setup/components/registry.ts";
import { read } from "../../sdk/proc.ts";
import { onEveryEngine, type World } from "../setup/oci_world.ts";
import { assignmentOf } from "../setup/runner.ts";
import { RunnerProcess } from "../setup/runner_process.ts";
import { until, untilTrue } from "../setup/until.ts";

const PATIENCE_MS = 120_000;
/** Runs for ever when it runs first. */
const SOURCE = `import time
def fn(n, ctx):
  print("attempt", ctx.attempt, flush=True)
  if ctx.attempt == 1: time.sleep(10_000)
  return [n, ctx.attempt]
`;

/** All that a runner has on this machine outside of its process. */
async function traces({ at }: World, data: string) {
  const client = clientOf(at);
  const containers = (await client.containers(`berth.runner=${data}`)).map(({ Id }) => Id);
  const networks = (await client.networks(`berth.runner=${data}`)).map(({ Name }) => Name);
  client.close();
  const slots = [...Deno.readDirSync(`${data}/slots`)].map(({ name }) => name);
  const tables = await command("nft", "list", "tables");
  const mounts = await Deno.readTextFile("/proc/mounts");
  return {
    containers,
    networks,
    slots,
    tables: slots.filter((slot) => tables.includes(`be${slot}`)),
    mounts: mounts.split("\n").filter((line) => line.includes(data)),
  };
}

/** Whether what ran for a container of the platform has ended. */
async function isOver({ at }: World, data: string, id: string): Promise<boolean> {
  const notes = [...Deno.readDirSync(`${data}/slots`)].map(({ name }) =>
    `${data}/slots/${name}/container.json`
  );
  const found = notes.map((file) => JSON.parse(read(file) ?? "{}")).find((note) => note.id === id);
  const client = clientOf(at);
  const state = await client.inspect(found.engineId);
  client.close();
  return state?.State.Pid === 0;
}

onEveryEngine("a runner that is killed over its containers, and away for long", (world) => {
  it("finds guests that have ended, removes what is left, and does their calls again", async () => {
    const here = await world();
    const images = ["--deno-image", imageOf(here.registry.host, "deno"), "--python-image"];
    const args = [...images, imageOf(here.registry.host, "python"), "--pool-memory", "64"];
    await using runner = await RunnerProcess.start(
      "--engine",
      "oci",
      "--oci-socket",
      here.at.socket,
      ...args,
      // Networks of an engine are left by one as well as by the other; so are links that the runner lays.
      ...here.at.name === "docker" ? ["--container-addresses", "none"] : [],
    );
    const { api, data } = runner;
    const spec = { body: "python", egress: ["192.0.2.7:1"], secrets: [{ name: "s", as: "files" }] } as const;
    api.secrets = [{ name: "s", as: "files", values: { KEY: "value" } }];
    const assignment = await assignmentOf(api, "ctr_1", SOURCE, {
      ...spec,
      egress: [...spec.egress],
      secrets: [...spec.secrets],
    });
    api.want(assignment);
    const batch = api.call("fn", [7]);
    const attempts = () => (api.logs.get(`${batch}:0`) ?? []).map(([, , , , , text]) => text);
    await until("its call runs", () => attempts().includes("attempt 1") || null, PATIENCE_MS);
    await untilTrue(
      "another container waits",
      async () => (await traces(here, data)).containers.length > 1,
      PATIENCE_MS,
    );
    const before = await traces(here, data);
    assert.equal(before.networks.length > 0, here.at.name === "docker");
    assert.ok(before.tables.length > 0, JSON.stringify(before));
    await runner.kill();
    await untilTrue("its guest has given it up", () => isOver(here, data, "ctr_1"), PATIENCE_MS);
    api.evict(); // as the platform does by then
    await runner.restart();
    const { value } = await until("its call has ended", () => api.endOf(batch) ?? null, PATIENCE_MS);
    assert.deepEqual(value, [7, 2]);
    const now = await traces(here, data);
    for (const what of ["containers", "slots", "tables", "mounts"] as const) {
      assert.deepEqual(now[what].filter((one) => before[what].includes(one)), [], what);
    }
    await runner.stop();
    assert.deepEqual(await traces(here, data), {
      containers: [],
      networks: [],
      slots: [],
      tables: [],
      mounts: [],
    });
  });
});
