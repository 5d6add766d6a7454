/** A gang in containers on two machines: on this one those of Docker, on another, which has one cable to this one, those of Podman. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Attempt, Call, EventItem } from "../../sdk/protocol.ts";
import type { TestEngine } from "../setup/components/engine.ts";
import { imageOf } from "../setup/components/registry.ts";
import { JoinedNode } from "../setup/joined_node.ts";
import { withoutEngines } from "../setup/machine.ts";
import { MEET } from "../setup/meeting.ts";
import { Platform } from "../setup/platform.ts";
import { Traces } from "../setup/traces.ts";
import { startTwoMachines } from "../setup/two_machines.ts";
import { untilTrue } from "../setup/until.ts";

const PATIENCE_MS = 120_000;

async function setup() {
  await using stack = new AsyncDisposableStack();
  const { other, registry, docker, podman } = await startTwoMachines(stack);
  const platform = await Platform.up({ args: ["--no-runner", "--host", other.address] });
  stack.use(platform);
  await platform.post("/v1/pools", { name: "room", provider: "static" });
  const data = ["first", "second"].map((name) => `${platform.dir}/${name}`);
  const traces = stack.use(await Traces.watch([docker, podman], data));
  const join = async (
    name: string,
    { socket }: TestEngine,
    address: string,
    through: readonly string[] = [],
  ) => {
    const env = { BERTH_ENGINE: "oci", BERTH_OCI_SOCKET: socket };
    const args = ["--address", address, "--grace-ms", "300"];
    return stack.use(await JoinedNode.start(platform, "room", name, { env, args, through }));
  };
  const first = await join("first", docker, other.address);
  // Machines are told apart by what they have mounted.
  const second = await join("second", podman, other.own, ["unshare", "--mount", ...other.through]);
  const whole = stack.move();
  return {
    platform,
    there: other.own,
    nodes: [first, second] as const,
    /** Of the first. */
    docker: docker.client,
    traces,
    image: imageOf(registry, "python"),
    [Symbol.asyncDispose]: () => whole.disposeAsync(),
  };
}

describe("a gang in containers on two machines", { skip: withoutEngines }, () => {
  it("meets, and again when a container has died, or with its runner, and leaves nothing", async () => {
    await using world = await setup();
    const { platform, image, nodes, docker, traces } = world;
    const options = { image, nodes: 2, startTimeout: "2m", retries: { max: 1, backoff: "10ms" } };
    const app = `import { App } from "berth";
export const meet = new App("gang").python("meet.py:fn", ${JSON.stringify(options)});
`;
    await platform.deploy(app, "app.ts", { "meet.py": MEET });
    const met = ({ result, failure }: Call) => {
      const [, heard, address] = result as [number, string, string];
      assert.deepEqual([heard, address], ["rank 1", world.there], JSON.stringify(failure));
    };
    met(await platform.call("gang/meet", null, PATIENCE_MS));
    const again = await platform.call("gang/meet", "exits", PATIENCE_MS);
    met(again);
    const { body } = await platform.ask<{ items: Attempt[] }>(`/v1/calls/${again.id}/attempts`);
    const { kind, message } = body.items[0]!.failure!;
    assert.deepEqual([kind, message], [
      "user_error",
      "Rank 1: The function ended its own process (exit code 3)",
    ]);

    const { body: { calls } } = await platform.post<{ calls: [{ id: string }] }>(
      "/v1/apps/gang/functions/meet/calls",
      { input: "stays" },
    );
    const isStarted = async () => {
      const events = await platform.all<EventItem>(`/v1/calls/${calls[0].id}/events`);
      return events.filter(({ kind }) => kind === "started").length === 2;
    };
    await untilTrue("both ranks run", isStarted);
    await nodes[0].kill();
    for (const { Id } of await docker.containers()) await docker.kill(Id);
    nodes[0].restart();
    met(await platform.ended(calls[0].id, PATIENCE_MS));
    for (const node of nodes) await node[Symbol.asyncDispose]();
    assert.deepEqual(await traces.left(), []);
  });
});
