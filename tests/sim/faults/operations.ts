/** Trouble with machines that are not dead: GPUs that fail, operators at work, providers that don't deliver. */
import type { Fault } from "./fault.ts";

export const gpuFails: Fault = {
  name: "gpu fails",
  everyMs: 10_000,
  strike({ fleet, timeline }, dice) {
    const members = fleet.members.filter(({ machine }) => machine.shape.gpus.length > 0);
    if (members.length === 0) return;
    const { machine } = dice.pick(members);
    const { index } = dice.pick(machine.shape.gpus);
    machine.ail(index, "fell off the bus");
    timeline.after(dice.spread(500, 20_000), () => machine.ail(index, null));
  },
};

/** It is not there when the runner starts the next time. */
export const gpuIsGone: Fault = {
  name: "gpu is gone",
  everyMs: 20_000,
  strike({ fleet, timeline }, dice) {
    const members = fleet.members.filter(({ machine, rented }) => !rented && machine.shape.gpus.length > 0);
    if (members.length === 0) return;
    const { machine, runner } = dice.pick(members);
    const { index } = dice.pick(machine.shape.gpus);
    machine.lostGpus.add(index);
    runner.kill();
    runner.startAfter(dice.spread(100, 3_000));
    timeline.after(dice.between(3_000, 15_000), () => {
      machine.lostGpus.delete(index);
      runner.kill();
      runner.startAfter(100);
    });
  },
};

export const operations: Fault = {
  name: "operations",
  everyMs: 5_000,
  strike: ({ crowd, operator }, dice) => crowd.operate("meddle", () => operator.meddle(dice)),
};

export const badCloud: Fault = {
  name: "bad cloud",
  strike({ cloud }, dice) {
    cloud.weather = {
      bootMs: [200, dice.spread(1_000, 20_000)],
      refuses: dice.next() * 0.5,
      forgets: dice.chance(0.5) ? dice.next() : 0,
      breaks: dice.next() * 0.5,
    };
  },
};
