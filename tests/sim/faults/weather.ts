/** Trouble that is in the air all the time: on the network, on the way to the database, in the engines. */
import type { Fault } from "./fault.ts";

export const badNetwork: Fault = {
  name: "bad network",
  strike({ network }, dice) {
    const often = dice.spread(0.002, 0.08);
    const rare = () => dice.chance(0.6) ? often * dice.next() : 0;
    network.weather = {
      latencyMs: [0.1, dice.spread(1, 60)],
      lostRequest: rare(),
      lostReply: rare(),
      duplicate: rare(),
      late: rare(),
      broken: rare(),
    };
  },
};

export const badDatabase: Fault = {
  name: "bad database",
  strike({ database }, dice) {
    const often = dice.spread(0.0005, 0.01);
    database.weather = {
      latencyMs: [0.1, dice.spread(0.5, 20)],
      cutBefore: often * dice.next(),
      cutAfter: often * dice.next(),
      lostHints: dice.chance(0.5) ? dice.next() * 0.5 : 0,
    };
  },
};

export const badEngines: Fault = {
  name: "bad engines",
  strike({ fleet }, dice) {
    for (const { machine } of fleet.members) {
      machine.weather = {
        startMs: [5, dice.spread(50, 3_000)],
        loadMs: [5, dice.spread(50, 3_000)],
        fails: dice.chance(0.5) ? dice.next() * 0.2 : 0,
        hangs: dice.chance(0.3) ? dice.next() * 0.1 : 0,
        dieMs: [0.1, dice.spread(1, 2_000)],
      };
    }
  },
};
