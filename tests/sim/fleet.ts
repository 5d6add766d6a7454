/** The machines that there are, each with its runner: those that stand there, and those that pools bring and take away. */
import type { Machine } from "./machine/machine.ts";
import type { SimulatedGuest } from "./machine/guest.ts";
import type { Service } from "./service.ts";

export interface Member {
  readonly machine: Machine;
  readonly runner: Service;
  /** A provider brought it: when its runner ends, it is gone for good. */
  readonly rented: boolean;
}

export class Fleet {
  readonly #members: Member[] = [];

  get members(): readonly Member[] {
    return this.#members;
  }

  /** Guests that run anywhere. */
  get guests(): readonly SimulatedGuest[] {
    return this.#members.flatMap(({ machine }) => machine.guests);
  }

  get runners(): readonly Service[] {
    return this.#members.map(({ runner }) => runner);
  }

  add(member: Member): void {
    this.#members.push(member);
  }

  remove(member: Member): void {
    const at = this.#members.indexOf(member);
    if (at !== -1) this.#members.splice(at, 1);
  }
}
