/** Connections that break: of a machine to the apis, of everybody to the database. */
import { NODE_LEASE_MS } from "../../../scheduler/store/nodes.ts";
import type { Fault } from "./fault.ts";

/** Longer than the lease of a node: it is given up, and comes back with what it has done meanwhile. */
const LONG_MS = [NODE_LEASE_MS + 1_000, NODE_LEASE_MS + 15_000] as const;

export const partition: Fault = {
  name: "partition",
  everyMs: 15_000,
  strike({ network, fleet }, dice) {
    if (fleet.members.length === 0) return;
    network.part(
      dice.pick(fleet.members).machine.shape.name,
      dice.chance(0.4) ? dice.between(...LONG_MS) : dice.spread(500, 10_000),
    );
  },
};

export const databaseRestarts: Fault = {
  name: "database restarts",
  everyMs: 30_000,
  strike: ({ database }, dice) => database.restart(dice.spread(100, 8_000)),
};

export const databaseCuts: Fault = {
  name: "database cuts",
  everyMs: 8_000,
  strike: ({ database }, dice) => database.cut(() => dice.chance(0.3)),
};
