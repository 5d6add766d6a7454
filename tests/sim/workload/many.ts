/** Many calls at once. */
import type { Settled } from "../../../sdk/map.ts";
import type { Scene, Task } from "./task.ts";
import type { Done } from "../machine/deed.ts";
import { drawKey, drawTarget, type Target, wishOf } from "./task.ts";
import type { Wish } from "../ledger.ts";

/** A map read to its end: each input has its one result, in its order. */
export const map: Task = {
  name: "map",
  async run(scene) {
    const { client, dice } = scene;
    const target = drawTarget(scene);
    const wishes = wishesFor(scene, target, Math.round(dice.spread(2, 25)));
    const results = client.handle(target.app.name, target.spec.name)
      .map(wishes.map(({ deed }) => deed), {
        onError: "yield",
        window: dice.pick([3, 10, 10_000]),
        ...drawKey(dice),
      });
    let read = 0;
    for await (const settled of results) {
      if (settled.index !== read++) throw new Error(`map gave result ${settled.index} as its ${read}.`);
      note(wishes[settled.index]!, settled);
    }
    if (read !== wishes.length) throw new Error(`map gave ${read} results for ${wishes.length} inputs`);
  },
};

/** A map whose reader loses interest. */
export const brokenMap: Task = {
  name: "broken map",
  async run(scene) {
    const { client, dice } = scene;
    const target = drawTarget(scene);
    const wishes = wishesFor(scene, target, Math.round(dice.spread(2, 20)), { mayCancel: true });
    const results = client.handle(target.app.name, target.spec.name)
      .map(wishes.map(({ deed }) => deed), { onError: "yield", order: "completion" });
    let left = dice.whole(0, wishes.length - 1);
    for await (const settled of results) {
      note(wishes[settled.index]!, settled);
      if (left-- === 0) break;
    }
  },
};

const wishesFor = (scene: Scene, target: Target, n: number, more: Partial<Wish> = {}): Wish[] =>
  Array.from({ length: n }, () => wishOf(scene, target, more));

function note(wish: Wish, settled: Settled<Done>): void {
  wish.accepted = true;
  wish.seen = settled.status === "fulfilled"
    ? { value: settled.value }
    : { failure: settled.reason.failure.kind };
}
