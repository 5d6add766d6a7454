/** Processes and machines that die and come back, or stand still for a while. */
import type { Dice } from "../dice.ts";
import type { Service } from "../service.ts";
import type { Fault } from "./fault.ts";

/** `kill -9`, and another life after a while. */
function strikeDown(services: readonly Service[], dice: Dice): void {
  const running = services.filter(({ process }) => process !== null);
  if (running.length === 0) return;
  const service = dice.pick(running);
  service.kill();
  service.startAfter(dice.spread(100, 10_000));
}

export const apiDies: Fault = {
  name: "api dies",
  everyMs: 12_000,
  strike: ({ apis, schedulers }, dice) => strikeDown([...apis, ...schedulers], dice),
};

export const runnerDies: Fault = {
  name: "runner dies",
  everyMs: 15_000,
  strike: ({ fleet }, dice) => strikeDown(fleet.runners, dice),
};

/** A restart in order, as a deployment of the platform does it. */
export const restart: Fault = {
  name: "restart",
  everyMs: 20_000,
  async strike({ services }, dice) {
    const service = dice.pick(services);
    const stopping = service.stop();
    stopping.then(() => service.startAfter(dice.spread(10, 2_000)));
    await Promise.resolve();
  },
};

export const machineDies: Fault = {
  name: "machine dies",
  everyMs: 30_000,
  strike({ fleet, story }, dice) {
    if (fleet.members.length === 0) return;
    const { machine, runner } = dice.pick(fleet.members);
    story.tell(machine.shape.name, "loses its power");
    runner.kill();
    machine.clear();
    runner.startAfter(dice.spread(1_000, 45_000));
  },
};

export const freeze: Fault = {
  name: "freeze",
  everyMs: 8_000,
  strike(world, dice) {
    const service = dice.pick(world.services.filter(({ process }) => process !== null));
    if (service === undefined) return;
    const ms = dice.spread(50, 8_000);
    world.story.tell(service.name, `stands still for ${Math.round(ms)} ms`);
    service.process!.freeze(ms);
  },
};
