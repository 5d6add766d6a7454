/** Pools: what operators make, change, drain and delete; and tokens with which machines join them. */
import type { Sql } from "../scheduler/store/connect.ts";
import { insertJoinToken } from "../scheduler/store/keys.ts";
import {
  deletePool,
  findPool,
  insertPool,
  listPools,
  movePool,
  updatePool,
} from "../scheduler/store/pools.ts";
import { listProvisions } from "../scheduler/store/provisions.ts";
import { parseDuration } from "../sdk/duration.ts";
import { PlatformError } from "../sdk/errors.ts";
import { type Pool, poolProblem, type PoolSettings, type Routes } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { hashOf, needOperator, secret } from "./auth.ts";
import { decodeCursor, IdPlace, pageFrom, TimePlace } from "./cursor.ts";
import type { Handlers } from "./serve.ts";

type PoolRoutes = Pick<
  Routes,
  | "listPools"
  | "getPool"
  | "createPool"
  | "updatePool"
  | "drainPool"
  | "resumePool"
  | "deletePool"
  | "listProvisions"
  | "createJoinToken"
>;

export function poolHandlers(deps: ApiDeps): Handlers<PoolRoutes> {
  const { sql, clock, random, wakes } = deps;
  const now = () => new Date(clock.now());
  const changed = async (name: string): Promise<Pool> => {
    wakes.wake("pool");
    wakes.wake("tick");
    return await known(sql, now(), name);
  };
  return {
    async listPools({ limit, cursor }) {
      const after = decodeCursor(cursor, IdPlace)?.[0];
      return pageFrom(await listPools(sql, now(), { after, limit: limit + 1 }), limit, (last) => [last.name]);
    },

    getPool: ({ pool }) => known(sql, now(), pool),

    async createPool({ name, ...settings }, caller) {
      needOperator(caller);
      check(settings);
      if (!await insertPool(sql, now(), name, settings)) {
        throw new PlatformError(
          "conflict",
          `Cannot make pool "${name}": there is one, change it with \`berth pools set\``,
          {
            field: "name",
          },
        );
      }
      return await changed(name);
    },

    async updatePool({ pool, ...some }, caller) {
      needOperator(caller);
      await sql.begin(async (tx) => {
        const given = Object.fromEntries(Object.entries(some).filter(([, value]) => value !== undefined));
        const settings: PoolSettings = { ...await known(tx, now(), pool), ...given };
        check(settings);
        await updatePool(tx, pool, settings);
      });
      return await changed(pool);
    },

    async drainPool({ pool }, caller) {
      needOperator(caller);
      await known(sql, now(), pool);
      await movePool(sql, pool, "drain");
      return await changed(pool);
    },

    async resumePool({ pool }, caller) {
      needOperator(caller);
      await known(sql, now(), pool);
      await movePool(sql, pool, "resume");
      return await changed(pool);
    },

    async deletePool({ pool }, caller) {
      needOperator(caller);
      await known(sql, now(), pool);
      refuseUnlessEmpty(pool, await sql.begin((tx) => deletePool(tx, pool)));
      return { pool };
    },

    async listProvisions({ pool, limit, cursor }) {
      await known(sql, now(), pool);
      const place = decodeCursor(cursor, TimePlace);
      const after = place && [place[0], place[1]] as const;
      const rows = await listProvisions(sql, { pool, after, limit: limit + 1 });
      return pageFrom(rows, limit, (last) => [Date.parse(last.requestedAt), last.id]);
    },

    async createJoinToken({ pool, expiresIn }, caller) {
      needOperator(caller);
      const { state } = await known(sql, now(), pool);
      if (state === "draining") {
        throw new PlatformError("conflict", `Cannot make a token: pool "${pool}" drains`, { field: "pool" });
      }
      const token = secret("join", random);
      const expiresAt = new Date(clock.now() + parseDuration(expiresIn));
      await insertJoinToken(sql, now(), { hash: hashOf(token), pool, expiresAt });
      return { token, pool, expiresAt: expiresAt.toISOString() };
    },
  };
}

async function known(sql: Sql, now: Date, name: string): Promise<Pool> {
  const pool = await findPool(sql, now, name);
  if (pool !== undefined) return pool;
  throw new PlatformError(
    "not_found",
    `Cannot find pool "${name}": there is none of this name, see \`berth pools\``,
    {
      field: "pool",
    },
  );
}

function check(settings: PoolSettings): void {
  const found = poolProblem(settings);
  if (found === null) return;
  const { field, problem } = found;
  throw new PlatformError("invalid_request", `Cannot accept \`${field}\`: ${problem}`, { field });
}

function refuseUnlessEmpty(
  pool: string,
  { nodes, provisions }: { nodes: readonly string[]; provisions: number },
): void {
  if (nodes.length + provisions === 0) return;
  const what = nodes.length > 0
    ? `nodes are there (${nodes.join(", ")}${nodes.length === 5 ? ", …" : ""})`
    : "nodes are on their way to it or from it";
  throw new PlatformError(
    "conflict",
    `Cannot delete pool "${pool}": ${what}; drain it with \`berth pools drain ${pool}\`, and stop runners that joined by themselves`,
    { field: "pool" },
  );
}
