/**
 * What an exchange does for gangs. Rank 0's container claims for all of them, then every rank's exchange finds a part to take;
 * what runners report and tell of parts is kept under the gang's lease. Only exchanges that name parts, or containers of gangs,
 * come here.
 */
import type { Claimed } from "../scheduler/store/calls.ts";
import type { Pool } from "../scheduler/store/connect.ts";
import { claimTogether, type PartClaim, partsOfExchanges, takeParts } from "../scheduler/store/gangs.ts";
import { endParts, type PartPlace, type PartReport, placesOf } from "../scheduler/store/parts.ts";
import { insertEvents, insertLogs } from "../scheduler/store/telemetry.ts";
import { wakeTouched } from "../scheduler/store/touched.ts";
import type { Wakes } from "../scheduler/wakes.ts";
import type { Clock } from "../sdk/ports.ts";
import type { EventRecord, LogRecord } from "../sdk/protocol.ts";
import { Emptiness } from "./emptiness.ts";

export interface GangExchangeDeps {
  readonly sql: Pool;
  readonly clock: Clock;
  readonly wakes: Wakes;
  /** Functions without waiting calls. */
  readonly idle: Emptiness<number>;
}

/** A container of a gang that could take a call. */
export interface FreeMember {
  readonly container: string;
  readonly functionId: number;
  readonly rank: number;
}

const NO_CALLS: Claimed = { ranges: [], exhausted: true };

export class GangExchange {
  readonly #deps: GangExchangeDeps;
  /** Nodes where no part waits to be sent. */
  readonly #sent: Emptiness<string>;

  constructor(deps: GangExchangeDeps) {
    this.#deps = deps;
    this.#sent = new Emptiness(deps, "node");
  }

  /** Parts for free containers of a node, once those that are rank 0 have claimed. */
  async claim(nodeId: string, exchange: number, free: readonly FreeMember[]): Promise<PartClaim[]> {
    if (free.length === 0) return [];
    const { sql, clock } = this.#deps;
    await Promise.all(free.filter(({ rank }) => rank === 0).map((leader) => this.#claimFor(nodeId, leader)));
    const containers = free.map(({ container }) => container);
    const take = () => takeParts(sql, new Date(clock.now()), { nodeId, exchange, containers });
    return await this.#sent.look(nodeId, [], take, (parts) => parts.length === 0);
  }

  async #claimFor(nodeId: string, { container, functionId }: FreeMember): Promise<void> {
    const { sql, clock, wakes, idle } = this.#deps;
    const look = async () => {
      const now = new Date(clock.now());
      const { nodeIds, ...claimed } = await claimTogether(sql, now, { containerId: container, nodeId });
      for (const id of nodeIds) wakes.wake("node", id);
      return claimed;
    };
    await idle.look(functionId, NO_CALLS, look, ({ exhausted }) => exhausted);
  }

  /** Parts of replies that never arrived. */
  async resend(nodeId: string, missed: readonly number[]): Promise<PartClaim[]> {
    return missed.length === 0 ? [] : await partsOfExchanges(this.#deps.sql, nodeId, missed);
  }

  /** Ends parts, and with them, where all is known that need be, the attempts of their calls. */
  async settle(nodeId: string, reports: readonly PartReport[]): Promise<void> {
    if (reports.length === 0) return;
    const { sql, clock, wakes } = this.#deps;
    const now = new Date(clock.now());
    wakeTouched(wakes, await sql.begin((tx) => endParts(tx, now, nodeId, reports)));
  }

  /** Keeps what parts tell; returns the batches they belong to. */
  async keepTelemetry(
    nodeId: string,
    logs: readonly LogRecord[],
    events: readonly EventRecord[],
  ): Promise<number[]> {
    if (logs.length + events.length === 0) return [];
    const { sql } = this.#deps;
    const ids = new Set([...logs, ...events].map(([part]) => part));
    const places = await placesOf(sql, nodeId, [...ids]);
    const byNode = Map.groupBy(places, ([, { leaseNode }]) => leaseNode);
    const kept = await Promise.all([...byNode].flatMap(([leaseNode, entries]) => {
      const here = new Map(entries);
      return [
        insertLogs(sql, leaseNode, logs.flatMap((log) => told(log, here.get(log[0])))),
        insertEvents(sql, leaseNode, events.flatMap((event) => happened(event, here.get(event[0]), nodeId))),
      ];
    }));
    return kept.flat();
  }
}

/** Numbers of all ranks under one lease, none twice. */
const numberOf = (n: number, { rank, size }: PartPlace): number => n * size + rank;

function told([, index, n, at, stream, text]: LogRecord, place: PartPlace | undefined): LogRecord[] {
  if (place === undefined) return [];
  const line = place.rank === 0 ? text : `[rank ${place.rank}] ${text}`;
  return [[place.lease, index, numberOf(n, place), at, stream, line]];
}

/** Of the other ranks only that they started: a loss that each of them reports is one loss. */
function happened(
  [, index, n, at, kind, data]: EventRecord,
  place: PartPlace | undefined,
  node: string,
): EventRecord[] {
  if (place === undefined || place.rank > 0 && kind !== "started") return [];
  const { lease, container, rank } = place;
  return [[lease, index, numberOf(n, place), at, kind, rank === 0 ? data : { container, node, rank }]];
}
