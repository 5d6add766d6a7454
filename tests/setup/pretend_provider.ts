/** A provider of machines that are none, and a database that dies in the middle. */
import type { Machine, Order, Provider } from "../../scheduler/providers/provider.ts";
import type { Pool } from "../../scheduler/store/connect.ts";

/** Its machines outlive whoever keeps them. */
export class PretendProvider implements Provider {
  readonly machines = new Map<string, Machine & { readonly order: Order }>();
  /** Each start that made a machine, and each stop that ended one. */
  readonly story: string[] = [];
  /** What `start` throws, if anything. */
  refusal: string | null = null;
  /** Whether `stop` ends machines at once. */
  stubborn = false;

  list(): Promise<Machine[]> {
    return Promise.resolve([...this.machines.values()]);
  }

  start(order: Order): Promise<string> {
    if (this.refusal !== null) return Promise.reject(new Error(this.refusal));
    const external = `machine of ${order.provision}`;
    if (!this.machines.has(order.provision)) {
      this.machines.set(order.provision, {
        provision: order.provision,
        external,
        state: "there",
        message: "",
        order,
      });
      this.story.push(`start ${order.provision}`);
    }
    return Promise.resolve(external);
  }

  stop({ provision }: Machine): Promise<void> {
    if (!this.stubborn && this.machines.delete(provision)) this.story.push(`stop ${provision}`);
    return Promise.resolve();
  }

  /** A machine ends by itself. */
  crash(provision: string, message: string): void {
    this.machines.set(provision, { ...this.machines.get(provision)!, state: "gone", message });
  }
}

/** Calls to the world, counted; at the n-th the process dies, before it or just after. */
export class Fate {
  #left: number;
  readonly #after: boolean;
  dead = false;

  constructor(n: number, when: "before" | "after") {
    this.#left = n;
    this.#after = when === "after";
  }

  async of<T>(act: () => PromiseLike<T>): Promise<T> {
    if (this.dead || (--this.#left === 0 && !this.#after)) this.#die();
    const result = await act();
    if (this.dead || (this.#left === 0 && this.#after)) this.#die();
    return result;
  }

  #die(): never {
    this.dead = true;
    throw new Error("The process was killed");
  }
}

/** The provider as a process with this fate sees it. */
export const mortalProvider = (provider: Provider, fate: Fate): Provider => ({
  list: () => fate.of(() => provider.list()),
  start: (order) => fate.of(() => provider.start(order)),
  stop: (machine) => fate.of(() => provider.stop(machine)),
});

/** The database as a process with this fate sees it: a transaction that it dies in is undone. */
export function mortalPool(sql: Pool, fate: Fate): Pool {
  return new Proxy(sql, {
    apply: (target, self, args) =>
      fate.of(() => Reflect.apply(target as never, self, args) as PromiseLike<unknown>),
    get: (target, name) =>
      name === "begin"
        ? (act: (tx: Pool) => Promise<unknown>) =>
          fate.of(() => target.begin((tx) => act(mortalPool(tx as never, fate))))
        : Reflect.get(target, name),
  });
}
