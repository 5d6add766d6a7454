import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { insertContainerLogs, listContainerLogs } from "../../scheduler/store/container_logs.ts";
import { findContainer, listContainers } from "../../scheduler/store/containers_list.ts";
import { discard, discarded, noteKept } from "../../scheduler/store/kept.ts";
import { deleteExec, insertExec, wantedExecs } from "../../scheduler/store/execs.ts";
import { type ContainerLogRecord, LIMITS } from "../../sdk/protocol.ts";
import { testDatabase } from "../setup/postgres.ts";
import { insertFunction, NOW } from "../setup/world.ts";

/** One node with a container that runs, `ctr_1`, and one that has ended. */
async function setup() {
  const db = await testDatabase();
  const functionId = await insertFunction(db.sql, { name: "web" });
  await db.sql`
    insert into node (id, name, pool, credential_hash, session, host, state, cpu_milli, memory_mib, cpu_milli_free, memory_mib_free,
      joined_at, seen_at, lease_until)
    values ('node_1', 'n', 'default', 'h', 's', 'here', 'up', 1, 1, 1, 1, ${NOW}, ${NOW}, ${NOW})`;
  for (const [id, exitedAt] of [["ctr_1", null], ["ctr_2", NOW]] as const) {
    await db.sql`
      insert into container (id, function_id, deployment_id, node_id, session, desired, observed, gpus, gpu_milli, cpu_milli,
        memory_mib, reason, created_at, busy_at, exited_at)
      values (${id}, ${functionId}, 'dep_1', 'node_1', 's', 'run', ${
      exitedAt === null ? "ready" : "exited"
    }, '[]', 0, 1, 1, 'test',
        ${NOW}, ${NOW}, ${exitedAt})`;
  }
  return db;
}

const line = (container: string, n: number, text = `line ${n}`): ContainerLogRecord => [
  container,
  n,
  NOW.getTime(),
  "stdout",
  text,
];

describe("container logs", () => {
  it("insertContainerLogs() keeps each line once, of containers of the node alone", async () => {
    await using db = await setup();
    const sent = [line("ctr_1", 0, "a\0b"), line("ctr_1", 1), line("ctr_unknown", 0)];
    assert.deepEqual(await insertContainerLogs(db.sql, "node_1", sent), ["ctr_1"]);
    assert.deepEqual(await insertContainerLogs(db.sql, "node_1", sent), []);
    assert.deepEqual(await insertContainerLogs(db.sql, "node_2", [line("ctr_1", 2)]), []);
    const kept = await listContainerLogs(db.sql, "ctr_1", { limit: 10 });
    assert.deepEqual(kept.map(({ seq, text }) => [seq, text]), [[0, "a\uFFFDb"], [1, "line 1"]]);
    assert.deepEqual(
      (await listContainerLogs(db.sql, "ctr_1", { after: 0, limit: 1 })).map(({ seq }) => seq),
      [1],
    );
  });

  it("insertContainerLogs() forgets what is older than the last lines", async () => {
    await using db = await setup();
    const lines = Array.from({ length: LIMITS.containerLogLines }, (_, n) => line("ctr_1", n));
    await insertContainerLogs(db.sql, "node_1", lines);
    const more = [1, 2, 3].map((n) => line("ctr_1", LIMITS.containerLogLines - 1 + n));
    await insertContainerLogs(db.sql, "node_1", more);
    const [first] = await listContainerLogs(db.sql, "ctr_1", { limit: 1 });
    assert.equal(first!.seq, 3);
  });
});

describe("execs", () => {
  const ask = (id: string, more = {}) => ({
    id,
    container: "ctr_1",
    workspace: "default",
    command: ["ls", "-l"],
    ...more,
  });

  it("insertExec() wants a command of the node until it is over or has expired", async () => {
    await using db = await setup();
    const insert = (exec: Parameters<typeof insertExec>[2]) =>
      db.sql.begin((tx) => insertExec(tx, NOW, exec));
    const tty = { columns: 80, rows: 24, term: "xterm" };
    assert.deepEqual(await insert(ask("exec_1", { tty })), { node: "node_1" });
    assert.deepEqual(await insert(ask("exec_2")), { node: "node_1" });
    const first = { id: "exec_1", container: "ctr_1", command: ["ls", "-l"], tty };
    assert.deepEqual((await wantedExecs(db.sql, NOW, "node_1"))[0], first);
    const [{ revision }] = await db.sql<[{ revision: number }]>`select revision::int from node`;
    assert.equal(revision, 3);
    await deleteExec(db.sql, NOW, "exec_2");
    assert.deepEqual(await wantedExecs(db.sql, NOW, "node_1"), [first]);
    const later = new Date(NOW.getTime() + LIMITS.execSeconds * 1_000);
    assert.deepEqual(await wantedExecs(db.sql, later, "node_1"), []);
  });

  it("insertExec() refuses containers that have ended, of others, and more than its share", async () => {
    await using db = await setup();
    const insert = (exec: Parameters<typeof insertExec>[2]) =>
      db.sql.begin((tx) => insertExec(tx, NOW, exec));
    const GONE = { refused: "the container has ended" };
    assert.deepEqual(await insert(ask("exec_1", { container: "ctr_2" })), GONE);
    assert.deepEqual(await insert(ask("exec_2", { container: "ctr_unknown" })), GONE);
    assert.deepEqual(await insert(ask("exec_3", { workspace: "other" })), GONE);
    const racers = Array.from({ length: LIMITS.execsPerContainer + 3 }, (_, n) => insert(ask(`exec_r${n}`)));
    const answers = await Promise.all(racers);
    assert.equal(answers.filter((answer) => "refused" in answer).length, 3);
  });
});

describe("kept containers", () => {
  const keptUntil = async (db: Awaited<ReturnType<typeof setup>>, id: string) =>
    (await findContainer(db.sql, { workspace: "default", id }))!.keptUntil;
  const later = (ms: number) => new Date(NOW.getTime() + ms);

  it("noteKept() notes what a runner names and forgets the rest; of what runs, nothing is kept", async () => {
    await using db = await setup();
    const names = [{ id: "ctr_1", leftMs: 1_000 }, { id: "ctr_2", leftMs: 1_000 }];
    await noteKept(db.sql, NOW, "node_2", names);
    assert.equal(await keptUntil(db, "ctr_2"), null);
    await noteKept(db.sql, NOW, "node_1", names);
    assert.deepEqual([await keptUntil(db, "ctr_1"), await keptUntil(db, "ctr_2")], [
      null,
      later(1_000).toISOString(),
    ]);
    await noteKept(db.sql, later(10), "node_1", [{ id: "ctr_2", leftMs: 995 }]);
    assert.equal(await keptUntil(db, "ctr_2"), later(1_000).toISOString()); // clocks differ, time does not run back
    await noteKept(db.sql, later(20), "node_1", []);
    assert.equal(await keptUntil(db, "ctr_2"), null);
  });

  it("discard() is told to the runner until it keeps nothing more; nobody looks into it meanwhile", async () => {
    await using db = await setup();
    const of = { workspace: "default", id: "ctr_2" };
    const exec = (id: string) =>
      insertExec(db.sql, NOW, { id, container: "ctr_2", workspace: "default", command: ["true"] });
    assert.equal(await discard(db.sql, NOW, of), undefined);
    assert.deepEqual(await exec("exec_1"), { refused: "the container has ended" });
    await noteKept(db.sql, NOW, "node_1", [{ id: "ctr_2", leftMs: 1_000 }]);
    assert.deepEqual(await exec("exec_2"), { node: "node_1" });
    const present = async () =>
      (await listContainers(db.sql, { workspace: "default", present: true, limit: 9 })).map(({ id }) => id);
    assert.deepEqual(await present(), ["ctr_2", "ctr_1"]);
    assert.equal(await discard(db.sql, NOW, { ...of, workspace: "other" }), undefined);
    assert.equal(await discard(db.sql, NOW, of), "node_1");
    assert.deepEqual(await exec("exec_3"), { refused: "the container has ended" });
    assert.deepEqual(await present(), ["ctr_1"]);
    assert.deepEqual(await discarded(db.sql, "node_1"), ["ctr_2"]);
    await noteKept(db.sql, NOW, "node_1", []);
    assert.deepEqual(await discarded(db.sql, "node_1"), []);
  });
});
