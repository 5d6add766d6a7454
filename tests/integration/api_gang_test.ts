/** Gangs over HTTP: three nodes' exchanges, and what a client of their call sees. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Attempt, Call, Claim, EventItem, LogItem, PageOf, Report } from "../../sdk/protocol.ts";
import { TestApi } from "../setup/api.ts";
import { ApiRunner, THREW } from "../setup/api_runner.ts";

type Outcome = Report[1];

/** Three nodes with a rank each of a gang that runs `demo/train`. */
async function gang(api: TestApi) {
  await api.deploy("demo", [{ name: "train", nodes: 3 }]);
  const { sql } = api.deps;
  await sql`insert into gang select 'gang_1', id, 3, 29500, now() from function`;
  const ranks: { runner: ApiRunner; container: string }[] = [];
  for (const rank of [0, 1, 2]) {
    const runner = await ApiRunner.join(api, `n${rank}`);
    const container = await runner.container("demo", "train");
    await sql`update container set gang_id = 'gang_1', rank = ${rank} where id = ${container}`;
    ranks.push({ runner, container });
  }
  const take = async (rank: number): Promise<Claim> => {
    const { runner, container } = ranks[rank]!;
    const { claims: [claim] } = await runner.exchange({ free: [{ container, calls: 4 }], waitMs: 5_000 });
    assert.ok(claim, `rank ${rank} was given nothing`);
    return claim;
  };
  return {
    ranks,
    take,
    /** All wait, as parked exchanges do, and are given their part. */
    together: () => Promise.all([2, 1, 0].map(take)).then((claims) => claims.reverse()),
    tell: (rank: number, { lease }: Claim, outcome: Outcome, value: unknown = null, more = {}) =>
      ranks[rank]!.runner.exchange({
        reports: [{ lease, done: [[0, outcome, value, 1_000, 2_000, 10]] }],
        ...more,
      }),
    call: async (input: unknown): Promise<string> =>
      (await api.call("demo/train", { input })).body.calls[0]!.id,
    read: async (id: string) => (await api.ask<Call>(`/v1/calls/${id}`)).body,
  };
}

describe("an exchange of a gang's rank", () => {
  it("is given the call with its master; rank 0's result is the call's", async () => {
    await using api = await TestApi.start();
    const { together, tell, call, read } = await gang(api);
    const id = await call({ epochs: 3 });
    const claims = await together();
    for (const { inputs, attempt, method, master } of claims) {
      assert.deepEqual([inputs, attempt, method, master?.port], [[{ epochs: 3 }], 1, "train", 29_500]);
    }
    assert.equal(new Set(claims.map(({ lease }) => lease)).size, 3);
    await tell(2, claims[2]!, 0, "two");
    assert.equal((await read(id)).state, "running");
    await tell(0, claims[0]!, 0, "zero");
    const ended = await read(id);
    assert.deepEqual([ended.state, ended.result], ["succeeded", "zero"]);
    await tell(1, claims[1]!, 0);
  });

  it("counts what every rank's GPUs cost", async () => {
    await using api = await TestApi.start();
    const { together, tell, call, read } = await gang(api);
    const id = await call(1);
    const claims = await together();
    await tell(0, claims[0]!, 0);
    await api.deps.sql`update result set started_at = ended_at - interval '2 seconds'`;
    assert.equal((await read(id)).usage.gpuSeconds, 3 * 0.5 * 2);
  });

  it("tells a parked rank to end when another has failed; the call is tried again", async () => {
    await using api = await TestApi.start();
    const { ranks, together, tell, call, read } = await gang(api);
    const id = await call(1);
    const claims = await together();
    const parked = ranks[0]!.runner.exchange({ waitMs: 10_000 });
    await tell(1, claims[1]!, 1, { kind: "node_lost", message: "killed by SIGKILL", retryable: true });
    assert.deepEqual((await parked).cancels, [[claims[0]!.lease, 0]]);
    await tell(0, claims[0]!, 2);
    assert.equal((await read(id)).state, "running");
    await tell(2, claims[2]!, 1, THREW);
    assert.deepEqual([(await read(id)).state, (await read(id)).attempt], ["queued", 1]);
    const again = await together();
    assert.deepEqual(again.map(({ attempt }) => attempt), [2, 2, 2]);
    await tell(0, again[0]!, 0, "done");
    const { body } = await api.ask<PageOf<Attempt>>(`/v1/calls/${id}/attempts`);
    assert.deepEqual(body.items.map(({ state, failure }) => [state, failure?.message]), [
      ["failed", "Rank 1: killed by SIGKILL"],
      ["succeeded", undefined],
    ]);
  });

  it("keeps log lines with their rank, and of events those of rank 0 and who has started", async () => {
    await using api = await TestApi.start();
    const { ranks, together, tell, call } = await gang(api);
    const id = await call(1);
    const claims = await together();
    for (const rank of [0, 1, 2]) {
      const { lease } = claims[rank]!;
      const started = [lease, 0, 0, 1_000, "started", { container: ranks[rank]!.container }];
      const loss = [lease, 0, 1, 1_001, "report", { step: 1, loss: 0.5 }];
      const line = [lease, 0, 2, 1_002, "stdout", "hello"];
      for (const more of [{ logs: [line], events: [started, loss] }, { logs: [line], events: [loss] }]) {
        await ranks[rank]!.runner.exchange(more);
      }
    }
    await tell(0, claims[0]!, 0);
    const logs = (await api.ask<PageOf<LogItem>>(`/v1/calls/${id}/logs`)).body.items;
    assert.deepEqual(logs.map(({ text }) => text), ["hello", "[rank 1] hello", "[rank 2] hello"]);
    const events = (await api.ask<PageOf<EventItem>>(`/v1/calls/${id}/events`)).body.items;
    assert.deepEqual(events.map(({ kind, container, rank }) => [kind, container, rank]), [
      ["queued", undefined, undefined],
      ["started", ranks[0]!.container, undefined],
      ["report", undefined, undefined],
      ["started", ranks[1]!.container, 1],
      ["started", ranks[2]!.container, 2],
      ["succeeded", undefined, undefined],
    ]);
  });

  it("saves and loads the call's checkpoint from any rank", async () => {
    await using api = await TestApi.start();
    const { ranks, together, tell, call } = await gang(api);
    await call(1);
    const claims = await together();
    const path = (rank: number) => `/checkpoints?lease=${claims[rank]!.lease}&index=0`;
    const saved = await ranks[2]!.runner.save({ lease: claims[2]!.lease }, "weights");
    assert.equal(saved.status, 200, await saved.text());
    assert.equal(await (await ranks[1]!.runner.follow(path(1))).text(), "weights");
    assert.equal((await ranks[1]!.runner.fetch(path(2))).status, 409);
    await tell(0, claims[0]!, 0);
    assert.equal((await ranks[1]!.runner.fetch(path(1))).status, 409);
  });

  it("is sent again what a lost reply had, and cancels of its call", async () => {
    await using api = await TestApi.start();
    const { ranks, together, tell, call, read } = await gang(api);
    const id = await call(1);
    const claims = await together();
    const { claims: again } = await ranks[1]!.runner.exchange({ missed: [1] });
    assert.deepEqual(again, [claims[1]]);
    await api.ask(`/v1/calls/${id}/cancel`, { method: "POST" });
    const told = await Promise.all(ranks.map(({ runner }) => runner.exchange({ waitMs: 5_000 })));
    for (const rank of [0, 1, 2]) {
      assert.ok(told[rank]!.cancels.some(([lease]) => lease === claims[rank]!.lease), `rank ${rank}`);
      await tell(rank, claims[rank]!, 2);
    }
    assert.equal((await read(id)).state, "cancelled");
  });
});

describe("sync of a gang's last rank to be ready", () => {
  it("lets rank 0, which is parked, claim at once", async () => {
    await using api = await TestApi.start();
    const { ranks, call, take } = await gang(api);
    await call(1);
    const { runner, container } = ranks[2]!;
    await api.deps.sql`update container set observed = 'starting', ready_at = null where id = ${container}`;
    const parked = take(0);
    const sync = {
      session: runner.session,
      containers: [{ id: container, observed: "ready" }],
      leases: [],
      revision: 0,
    };
    assert.equal((await runner.fetch("/sync", { method: "POST", body: sync })).status, 200);
    assert.equal((await parked).attempt, 1);
  });
});

describe("deploying a gang", () => {
  it("refuses what its nodes cannot do together, naming the field", async () => {
    await using api = await TestApi.start();
    const { status, body } = await api.deploy("demo", [{ name: "train", nodes: 4, concurrency: 2 }]);
    assert.deepEqual([status, body.error.field], [400, "manifest.functions.0.concurrency"]);
    assert.match(body.error.message, /the 4 nodes of "train" run one call at a time/);
  });
});
