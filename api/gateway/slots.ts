/** The slots of one function's containers as this gateway uses them, and the requests that wait for one. */
import type { Clock, Random } from "../../sdk/ports.ts";
import { pick } from "./balance.ts";
import { type HoldEnd, HoldQueue } from "./hold.ts";
import type { FunctionRoute, RouteContainer } from "./routes.ts";

/** A place in a container, until it is released. */
export interface Slot {
  readonly container: RouteContainer;
  release(): void;
  /** Nobody answers there: others go first for a while. */
  shun(): void;
}

export interface SlotsOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Requests held at most. */
  readonly limit: number;
  /** Told after every change of {@link Slots.inFlight} or {@link Slots.held}. */
  readonly changed: (slots: Slots) => void;
  /** Ends timers. */
  readonly closed: AbortSignal;
}

/** How long a container that could not be reached is left alone: longer than it takes to hear that it has exited. */
const SHUN_MS = 500;

export class Slots {
  readonly #options: SlotsOptions;
  readonly #hold: HoldQueue<Slot>;
  #route: FunctionRoute;
  readonly #inFlight = new Map<string, number>();
  readonly #shunned = new Set<string>();
  #total = 0;

  constructor(route: FunctionRoute, options: SlotsOptions) {
    this.#route = route;
    this.#options = options;
    this.#hold = new HoldQueue(options);
  }

  get route(): FunctionRoute {
    return this.#route;
  }

  /** Slots taken. */
  get inFlight(): number {
    return this.#total;
  }

  /** Requests that wait, and since when the first does. */
  get held(): number {
    return this.#hold.size;
  }
  get heldSince(): number | null {
    return this.#hold.oldestAt;
  }

  /** A slot at once, or when one is free; rejects with a HoldError. */
  acquire(until: number, signal: AbortSignal): Slot | Promise<Slot> {
    const container = this.#hold.size === 0 ? this.#pick() : null;
    if (container === null) return this.#wait(until, signal);
    const slot = this.#take(container);
    this.#options.changed(this);
    return slot;
  }

  /** Containers came or went. */
  update(route: FunctionRoute): void {
    this.#route = route;
    this.#serve();
  }

  /** Sends away those who wait. */
  close(end: HoldEnd): void {
    this.#hold.close(end);
  }

  async #wait(until: number, signal: AbortSignal): Promise<Slot> {
    const waiting = this.#hold.wait({ until, signal });
    this.#options.changed(this);
    try {
      return await waiting;
    } finally {
      this.#options.changed(this);
    }
  }

  /** Gives what is free to those who wait. */
  #serve(): void {
    while (this.#hold.size > 0) {
      const container = this.#pick();
      if (container === null) return;
      this.#hold.give(this.#take(container));
    }
  }

  #pick(): RouteContainer | null {
    const { containers, concurrency } = this.#route;
    const free = ({ id }: RouteContainer) =>
      this.#shunned.has(id) ? 0 : concurrency - (this.#inFlight.get(id) ?? 0);
    return pick(containers, free, () => this.#options.random.next());
  }

  #take(container: RouteContainer): Slot {
    const { id } = container;
    this.#inFlight.set(id, (this.#inFlight.get(id) ?? 0) + 1);
    this.#total++;
    let taken = true;
    const release = () => {
      if (!taken) return;
      taken = false;
      this.#release(id);
    };
    return { container, release, shun: () => this.#shun(id) };
  }

  #shun(id: string): void {
    if (this.#shunned.has(id)) return;
    this.#shunned.add(id);
    this.#options.clock.sleep(SHUN_MS, this.#options.closed).then(() => {
      this.#shunned.delete(id);
      this.#serve();
    });
  }

  #release(id: string): void {
    const left = this.#inFlight.get(id)! - 1;
    if (left === 0) this.#inFlight.delete(id);
    else this.#inFlight.set(id, left);
    this.#total--;
    this.#serve();
    this.#options.changed(this);
  }
}
