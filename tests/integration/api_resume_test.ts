/** A runner that is started anew and goes on with what the one before has left running. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Call, JoinedNode, OpenLease, SyncReply } from "../../sdk/protocol.ts";
import { TestApi } from "../setup/api.ts";
import { ApiRunner } from "../setup/api_runner.ts";

const GPU = { index: 0, model: "L4", vramMiB: 24_576, uuid: "GPU-0", simulated: false };
const MACHINE = { name: "one", host: "here", cpu: 8, memory: 8_000, gpus: [] as unknown[] };

/** A node whose container was given three calls, of which the second has ended. */
async function world() {
  const api = await TestApi.start();
  await api.deploy("demo", [{ name: "fn" }]);
  const runner = await ApiRunner.join(api);
  const container = await runner.container("demo", "fn");
  await api.deps.sql`
    update node set cpu_milli_free = cpu_milli_free - 100, memory_mib_free = memory_mib_free - 100`; // it holds that
  const { body: { calls } } = await api.call("demo/fn", { inputs: [1, 2, 3] });
  const { claims: [claim] } = await runner.exchange({ free: [{ container, calls: 3 }] });
  assert.ok(claim);
  await runner.exchange({ reports: [{ lease: claim.lease, done: [[1, 0, "two", 1_000, 2_000, 10]] }] });
  const joinAs = async (session: string, resumes: string | undefined, more: Record<string, unknown> = {}) => {
    const body = { ...MACHINE, token: runner.credential, session, resumes, ...more };
    const answer = await api.ask<JoinedNode>("/v1/nodes", { body, key: null });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body;
  };
  const sync = (session: string, more: Record<string, unknown> = {}) =>
    api.ask<SyncReply>(`/v1/nodes/${runner.node}/sync`, {
      body: { session, containers: [], leases: [], revision: 0, ...more },
      key: runner.credential,
    });
  const read = async (i: number) => (await api.ask<Call>(`/v1/calls/${calls[i]!.id}`)).body;
  const [batch, lease] = [claim.batch, claim.lease];
  return { api, runner, container, joinAs, sync, read, batch, lease };
}

describe("joining to go on with an earlier session", () => {
  it("gives its containers and the calls that have not ended, and takes their reports", async () => {
    const { api, runner, container, joinAs, sync, read, batch, lease } = await world();
    await using _ = api;
    await runner.exchange({ containerLogs: [[container, 0, 1_000, "stdout", "a line"]] });
    await api.deps.sql`update lease set leased_at = leased_at - interval '5 seconds'`;
    const { id, resumed } = await joinAs("s2", "s1");
    assert.equal(id, runner.node);
    assert.deepEqual(resumed?.containers.map(({ id, nextLine }) => [id, nextLine]), [[container, 1]]);
    const [{ ageMs, ...given }] = resumed!.leases as [OpenLease];
    assert.deepEqual(given, { lease, container, batch, attempt: 1, method: "fn", indexes: [0, 2] });
    assert.ok(ageMs >= 5_000 && ageMs < 60_000, `${ageMs}`);
    assert.equal((await sync("s1")).status, 409); // the one before, should it live
    const { body } = await sync("s2", {
      containers: [{ id: container, observed: "ready" }],
      leases: [lease],
    });
    assert.deepEqual(body.containers.map(({ id }) => id), [container]);
    await runner.exchange({ session: "s2", reports: [{ lease, done: [[0, 0, "one", 1_000, 2_000, 10]] }] });
    const ended = await read(0);
    assert.deepEqual([ended.state, ended.result, ended.attempt], ["succeeded", "one", 1]);
    assert.equal((await read(2)).state, "running");
  });

  it("is the same when it is repeated, its answer having been lost", async () => {
    const { api, container, joinAs } = await world();
    await using _ = api;
    const first = await joinAs("s2", "s1");
    const again = await joinAs("s2", "s1");
    for (const { resumed } of [first, again]) {
      assert.deepEqual(resumed?.containers.map(({ id }) => id), [container]);
      assert.deepEqual(resumed?.leases.map(({ indexes }) => indexes), [[0, 2]]);
    }
  });

  it("gives nothing of containers that were not ready: those are started", async () => {
    const { api, container, joinAs, sync } = await world();
    await using _ = api;
    await api.deps.sql`update container set observed = 'starting', ready_at = null`;
    assert.deepEqual((await joinAs("s2", "s1")).resumed, { containers: [], leases: [] });
    assert.deepEqual((await sync("s2")).body.containers.map(({ id }) => id), [container]);
  });

  it("gives up those that the runner does not find, and does their calls again", async () => {
    const { api, container, joinAs, sync, read } = await world();
    await using _ = api;
    await joinAs("s2", "s1");
    const exit = { kind: "node_lost", message: "gone" };
    await sync("s2", { containers: [{ id: container, observed: "exited", exit }] });
    assert.deepEqual([(await read(0)).state, (await read(1)).state], ["queued", "succeeded"]);
  });

  type Join = { readonly resumes?: string; readonly cpu?: number; readonly gpus?: unknown[] };
  const anew: Record<string, (api: TestApi) => Join | Promise<Join>> = {
    "a session that is over": async (api) => {
      await api.deps.sql`update node set state = 'lost'`;
      return {};
    },
    "another session": () => ({ resumes: "s0" }),
    "another machine": () => ({ cpu: 4 }),
    "a machine with other GPUs": () => ({ gpus: [GPU] }),
  };
  for (const [what, how] of Object.entries(anew)) {
    it(`begins anew for ${what}`, async () => {
      const { api, joinAs, read } = await world();
      await using _ = api;
      const { resumes = "s1", ...more } = await how(api);
      const { resumed } = await joinAs("s2", resumes, more);
      assert.equal(resumed, undefined);
      assert.equal((await read(0)).state, "queued");
      const [row] = await api.deps.sql`select exit->>'kind' as kind from container`;
      assert.equal(row!.kind, "node_lost");
    });
  }
});
