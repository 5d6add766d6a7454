/**
 * Transactions that end with their connection. The driver (postgres 3.4.9) goes on writing on a connection that was lost: it
 * rolls back, or runs what the work does next. That fails outside of any promise, which ends the process; and what was written
 * stays, so that the connection can never be opened again, or lands in the transaction that has the connection next.
 */
import type { Pool, Sql } from "./connect.ts";

type Work = (sql: Sql) => unknown;

/** The pool, with a `begin` that says nothing more on a connection once it is lost. `pause` waits a turn of the event loop. */
export function withSafeTransactions(pool: Pool, pause: () => Promise<void>): Pool {
  const begin = pool.begin as (work: Work) => Promise<unknown>;
  const safely = async (work: Work): Promise<unknown> => {
    let over = false;
    const unlessOver = async (sql: Sql) => {
      try {
        const result = await work(fenced(sql, () => over));
        return over ? await NEVER : result;
      } catch (error) {
        await pause(); // statements hear of the loss before the transaction does
        if (over) await NEVER;
        throw error;
      }
    };
    try {
      return await begin(unlessOver);
    } finally {
      over = true; // ended, or lost
    }
  };
  return Object.assign(pool, { begin: safely as Pool["begin"] });
}

/** Keeps the driver from ending a transaction that is lost. */
const NEVER = new Promise<never>(() => {});

/** What a transaction's work queries with: no further than the transaction. */
function fenced(sql: Sql, isOver: () => boolean): Sql {
  const refuse = () => {
    if (isOver()) throw Object.assign(new Error("Cannot query: the transaction is over"), { code: LOST });
  };
  return new Proxy(sql, {
    apply: (target, self, args) => (refuse(), Reflect.apply(target as unknown as () => unknown, self, args)),
    get: (target, key) => (refuse(), Reflect.get(target, key)),
  });
}

/** As the driver says it. */
const LOST = "CONNECTION_CLOSED";
