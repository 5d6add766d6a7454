/**
 * A provider of machines: takes its time, has none left, forgets what it was asked for, loses what it has. What it rents out is the
 * same for all apis; each of them sees it through a provider of its own.
 */
import type { Machine as Listed, Order, Provider } from "../../scheduler/providers/provider.ts";
import type { Dice } from "./dice.ts";
import type { Fleet, Member } from "./fleet.ts";
import type { MachineShape } from "./machine/machine.ts";
import type { Process } from "./process.ts";
import type { Story } from "./story.ts";
import type { Timeline } from "./timeline.ts";

/** How the provider is; probabilities are of one order. */
export interface CloudWeather {
  /** From the order to a machine with a runner. */
  readonly bootMs: readonly [number, number];
  readonly refuses: number;
  /** Takes the order, and nothing ever comes of it. */
  readonly forgets: number;
  /** The machine ends before its runner begins. */
  readonly breaks: number;
}

export const FINE_CLOUD: CloudWeather = { bootMs: [200, 3_000], refuses: 0, forgets: 0, breaks: 0 };

interface Rented {
  readonly order: Order;
  readonly member: Member | null;
  /** Why it is gone; null while it is there. */
  readonly gone: string | null;
}

export interface CloudPorts {
  readonly timeline: Timeline;
  readonly story: Story;
  readonly dice: Dice;
  readonly fleet: Fleet;
  /** A machine of this shape, and its runner, which joins with a token. */
  readonly build: (shape: MachineShape, token: string) => Member;
}

/** Of one question to the provider. */
const ANSWER_MS = [1, 50] as const;

export class Cloud {
  weather = FINE_CLOUD;
  readonly #ports: CloudPorts;
  readonly #dice: Dice;
  readonly #rented = new Map<string, Rented>();
  #count = 0;

  constructor(ports: CloudPorts) {
    this.#ports = ports;
    this.#dice = ports.dice.of("cloud");
  }

  /** Machines that it has not taken back. */
  get size(): number {
    return this.#rented.size;
  }

  /** As a process sees it. */
  provider({ clock }: Process): Provider {
    const asked = () => clock.sleep(this.#dice.between(...ANSWER_MS));
    return {
      list: async () => {
        await asked();
        return [...this.#rented.values()].map((one) => this.#look(one));
      },
      start: async (order) => {
        await asked();
        return this.#start(order);
      },
      stop: async ({ provision }) => {
        await asked();
        this.#stop(provision);
      },
    };
  }

  #look({ order: { provision }, member, gone }: Rented): Listed {
    const ended = gone ?? (member !== null && member.runner.process === null ? "its runner ended" : null);
    return {
      provision,
      external: `machine of ${provision}`,
      state: ended === null ? "there" : "gone",
      message: ended ?? "",
    };
  }

  #start(order: Order): string {
    const { provision } = order;
    if (!this.#rented.has(provision)) {
      if (this.#dice.chance(this.weather.refuses)) throw new Error("the cloud has no machine left");
      this.#rented.set(provision, { order, member: null, gone: null });
      this.#ports.story.tell("cloud", `takes the order of ${provision}`);
      if (!this.#dice.chance(this.weather.forgets)) {
        this.#ports.timeline.after(this.#dice.between(...this.weather.bootMs), () => this.#boot(provision));
      }
    }
    return `machine of ${provision}`;
  }

  #boot(provision: string): void {
    const rented = this.#rented.get(provision);
    if (rented === undefined) return; // it was given back meanwhile
    const { order } = rented;
    if (this.#dice.chance(this.weather.breaks)) {
      this.#rented.set(provision, { ...rented, gone: "its machine broke" });
      return;
    }
    const member = this.#ports.build(shapeOf(order, `cloud-${++this.#count}`), order.token);
    this.#rented.set(provision, { ...rented, member });
    this.#ports.fleet.add(member);
    member.runner.start();
  }

  /** Stops a machine, or clears away what is left of it. */
  #stop(provision: string): void {
    const rented = this.#rented.get(provision);
    if (rented === undefined) return;
    const { member } = rented;
    if (member !== null && member.runner.process !== null) return void member.runner.stop();
    member?.machine.clear();
    if (member !== null) this.#ports.fleet.remove(member);
    this.#rented.delete(provision);
  }
}

const shapeOf = ({ shape: { cpuMilli, memoryMiB, gpus } }: Order, name: string): MachineShape => ({
  name,
  cpu: cpuMilli / 1_000,
  memory: memoryMiB,
  gpus: gpus.map(({ model, vramMiB }, index) => ({ index, model, vramMiB, simulated: true })),
});
