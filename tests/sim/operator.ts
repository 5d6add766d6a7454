/** Somebody with the keys to everything: makes pools and quotas at the beginning, takes machines in and out, and tidies up at the end. */
import { PlatformError } from "../../sdk/errors.ts";
import { routes } from "../../sdk/protocol.ts";
import type { SimulatedClient } from "./client.ts";
import type { Dice } from "./dice.ts";
import type { PoolShape } from "./topology.ts";

export class Operator {
  readonly #client: SimulatedClient;
  readonly #pools: readonly PoolShape[];
  /** What is under way, and what was asked for meanwhile. */
  #turn: Promise<void> = Promise.resolve();

  constructor(client: SimulatedClient, pools: readonly PoolShape[]) {
    this.#client = client;
    this.#pools = pools;
  }

  /** Makes the pools. */
  async begin(): Promise<void> {
    for (const pool of this.#pools) {
      await this.#do(() => this.#client.sdk.send(routes.createPool, { ...pool, provider: "local" }));
    }
  }

  /** Takes a node or a GPU out of service, or puts one back. */
  meddle(dice: Dice): Promise<void> {
    return this.#inTurn(() => this.#meddle(dice));
  }

  /** Everything is in service again, and nothing is kept for its own sake. */
  tidy(): Promise<void> {
    return this.#inTurn(() => this.#tidy());
  }

  /** One thing after another: an api that was away must not hear of a drain after it was tidied up. */
  #inTurn(act: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(act);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #meddle(dice: Dice): Promise<void> {
    const { items } = await this.#client.persist(() => this.#client.sdk.send(routes.listNodes, {}));
    if (items.length === 0) return;
    const { id: node, gpus } = dice.pick(items);
    const { index } = gpus.length > 0 ? dice.pick(gpus) : { index: 0 };
    const { sdk } = this.#client;
    await this.#do(dice.pick([
      () => sdk.send(routes.cordonNode, { node }),
      () => sdk.send(routes.uncordonNode, { node }),
      () => sdk.send(routes.drainNode, { node }),
      () => sdk.send(routes.resumeNode, { node }),
      () => sdk.send(routes.setGpu, { node, index, out: dice.chance(0.6) }),
    ]));
  }

  async #tidy(): Promise<void> {
    const { sdk } = this.#client;
    const { items } = await this.#client.persist(() => sdk.send(routes.listNodes, {}));
    for (const { id: node, gpus } of items) {
      await this.#do(() => sdk.send(routes.uncordonNode, { node }));
      await this.#do(() => sdk.send(routes.resumeNode, { node }));
      for (const { index } of gpus) {
        await this.#do(() => sdk.send(routes.setGpu, { node, index, out: false }));
      }
    }
    for (const { name } of this.#pools) {
      await this.#do(() => sdk.send(routes.updatePool, { pool: name, min: 0 }));
    }
  }

  /** What is refused since it is so already, or since the node has gone, is done. */
  async #do(act: () => Promise<unknown>): Promise<void> {
    try {
      await this.#client.persist(act);
    } catch (error) {
      const done = error instanceof PlatformError && ["conflict", "not_found"].includes(error.code);
      if (!done) throw error;
    }
  }
}
