/** A runner that speaks to the store directly: what `sync` and `exchange` do, without HTTP, guests or time of its own. */
import { claim, type ClaimedRange, complete, giveBack } from "../../scheduler/store/calls.ts";
import type { Pool } from "../../scheduler/store/connect.ts";
import {
  containersExited,
  containersLost,
  containersOfOtherSessions,
} from "../../scheduler/store/containers.ts";
import { join } from "../../scheduler/store/join.ts";
import { observeRunning, rejoin, renew } from "../../scheduler/store/nodes.ts";
import type { Clock } from "../../sdk/ports.ts";
import type { Exit, Gpu } from "../../sdk/protocol.ts";

interface Row {
  readonly id: string;
  readonly desired: string;
  readonly observed: string;
}

export class StoreRunner {
  readonly #sql: Pool;
  readonly #clock: Clock;
  readonly node: string;
  #session = 0;
  #exchange = 0;

  constructor(sql: Pool, clock: Clock, node = "node_1") {
    this.#sql = sql;
    this.#clock = clock;
    this.node = node;
  }

  get #now(): Date {
    return new Date(this.#clock.now());
  }

  /** Begins a session; what ran before is gone. */
  async join({ cpu = 8_000, memory = 16_384, gpus = [] as Gpu[] } = {}): Promise<void> {
    const session = `s${++this.#session}`;
    await this.#sql.begin(async (sql) => {
      const gone = await containersOfOtherSessions(sql, this.node, session);
      await containersLost(sql, this.#now, gone, "The runner of the node was started anew");
      await join(sql, this.#now, {
        id: this.node,
        name: this.node,
        pool: "default",
        credentialHash: this.node,
        session,
        host: "here",
        cpuMilli: cpu,
        memoryMiB: memory,
        diskMiB: 100_000,
        labels: {},
        address: "here",
        relay: null,
        provision: null,
        gpus,
      });
    });
  }

  /** Prolongs the node's lease. */
  async sync(): Promise<void> {
    await renew(this.#sql, this.#now, { nodeId: this.node, session: `s${this.#session}` });
    await rejoin(this.#sql, this.node);
  }

  /** Its live containers, oldest first. */
  async containers(): Promise<Row[]> {
    return [
      ...await this.#sql<Row[]>`
      select id, desired, observed from container where node_id = ${this.node} and exited_at is null order by created_at, id`,
    ];
  }

  /** Reports all that start as ready. */
  async ready(): Promise<void> {
    const ids = (await this.containers()).filter((one) => one.desired === "run").map(({ id }) => id);
    await observeRunning(
      this.#sql,
      this.#now,
      this.node,
      ids.map((id) => ({ id, observed: "ready" as const })),
    );
  }

  async exit(id: string, kind: Exit["kind"] = "stopped", message = ""): Promise<void> {
    const exits = [{ id, exit: { kind, message } }];
    await this.#sql.begin((sql) =>
      containersExited(sql, this.#now, { nodeId: this.node, exits, heldLeases: [] })
    );
  }

  /** Reports the exit of all that are told to leave. */
  async leave(): Promise<void> {
    for (const { id, desired } of await this.containers()) if (desired !== "run") await this.exit(id);
  }

  async claim(containerId: string, calls = 1): Promise<ClaimedRange[]> {
    const { ranges } = await claim(this.#sql, this.#now, {
      containerId,
      nodeId: this.node,
      exchange: ++this.#exchange,
      calls,
    });
    return [...ranges];
  }

  /** Reports calls of a lease as succeeded. */
  async complete(lease: number, indexes: readonly number[], tookMs = 10): Promise<void> {
    const endedAt = this.#clock.now();
    const done = indexes.map((index) => ({
      lease,
      index,
      state: 0 as const,
      value: null,
      startedAt: endedAt - tookMs,
      endedAt,
      cpuUs: 0,
    }));
    await complete(this.#sql, this.node, done);
  }

  async giveBack(lease: number, indexes: readonly number[]): Promise<void> {
    await giveBack(this.#sql, this.#now, this.node, indexes.map((index) => ({ lease, index })));
  }
}
