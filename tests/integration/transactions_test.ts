import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { connect, isAway, type Sql } from "../../scheduler/store/connect.ts";
import { testDatabase } from "../setup/postgres.ts";
import { until } from "../setup/until.ts";

describe("transactions whose connection is lost", () => {
  /** A pool of one connection, so that whoever comes next has the same one. */
  async function world() {
    const db = await testDatabase();
    const pool = connect(db.url, { max: 1, name: "victim" });
    return {
      pool,
      sql: db.sql,
      kill: () =>
        db.sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'victim'`,
      pid: async (sql: Sql) => (await sql<{ pid: number }[]>`select pg_backend_pid() as pid`)[0]!.pid,
      [Symbol.asyncDispose]: async () => {
        await pool.end({ timeout: 1 });
        await db[Symbol.asyncDispose]();
      },
    };
  }

  it("fail, and leave a connection that opens again, when a statement is running", async () => {
    await using one = await world();
    for (let round = 0; round < 3; round++) {
      const lost = one.pool.begin((sql) => sql`select pg_sleep(60)`).then(() => null, (error) => error);
      await until("it runs", async () =>
        (await one.sql`
          select from pg_stat_activity where application_name = 'victim' and query like '%pg_sleep(60)'`)
            .length === 1 || null);
      await one.kill();
      assert.ok(isAway(await lost));
      await until("the pool answers", () => one.pid(one.pool).catch(() => null), 3_000);
    }
  });

  it("say nothing more in the transaction that has the connection next", async () => {
    await using one = await world();
    await one.sql`create table said (word text)`;
    const inside = Promise.withResolvers<void>();
    const next = Promise.withResolvers<void>();
    const lost = one.pool.begin(async (sql) => {
      await sql`insert into said values ('first')`;
      inside.resolve();
      await next.promise;
      await sql`insert into said values ('after the loss')`;
    }).then(() => null, (error) => error);
    await inside.promise;
    await one.kill();
    assert.ok(isAway(await lost));
    await until("the pool answers", () => one.pid(one.pool).catch(() => null), 3_000);
    await one.pool.begin(async (sql) => {
      await sql`insert into said values ('next')`;
      next.resolve();
      await one.pid(one.sql);
      await sql`select 1`;
    });
    assert.deepEqual([...await one.sql`select word from said`], [{ word: "next" }]);
  });

  it("does not keep the driver from rolling back what fails by itself", async () => {
    await using one = await world();
    await one.sql`create table said (word text)`;
    const failed = one.pool.begin(async (sql) => {
      await sql`insert into said values ('undone')`;
      throw new Error("no more");
    });
    await assert.rejects(failed, /no more/);
    assert.equal((await one.pool`select from said`).length, 0);
  });
});
