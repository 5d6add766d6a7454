/** One call, waited for or not; now and then given up. */
import { drawKey, drawTarget, type Task, wishOf } from "./task.ts";

/** Calls and waits, on one request as long as that goes. */
export const remote: Task = {
  name: "remote",
  async run(scene) {
    const { client, dice } = scene;
    const target = drawTarget(scene);
    const givesUp = dice.chance(0.15);
    const wish = wishOf(scene, target, { mayCancel: givesUp });
    const abort = new AbortController();
    if (givesUp) scene.pause(dice.spread(1, 4_000)).then(() => abort.abort(new Error("gave up")));
    const waiting = client.handle(target.app.name, target.spec.name).remote(wish.deed, {
      signal: abort.signal,
    });
    try {
      wish.seen = await client.seen(waiting);
    } catch (error) {
      if (!abort.signal.aborted) throw error;
    }
  },
};

/** Calls, asks for the result later. */
export const spawn: Task = {
  name: "spawn",
  async run(scene) {
    const { client, dice } = scene;
    const target = drawTarget(scene);
    const [delays, expires] = [dice.chance(0.3), dice.chance(0.2)];
    const wish = wishOf(scene, target, { mayExpire: expires });
    const handle = client.handle(target.app.name, target.spec.name).withOptions({
      client: client.sdk,
      priority: dice.whole(0, 100),
      ...(delays ? { delay: `${dice.whole(10, 5_000)}ms` } : {}),
      ...(expires ? { ttl: `${dice.whole(200, 8_000)}ms` } : {}),
    });
    const call = await handle.spawn(wish.deed, drawKey(dice));
    wish.accepted = true;
    wish.seen = await client.seen(call.result());
  },
};

/** Calls, and cancels before, while or after it runs. */
export const cancel: Task = {
  name: "cancel",
  async run(scene) {
    const { client, dice } = scene;
    const target = drawTarget(scene);
    const wish = wishOf(scene, target, { mayCancel: true });
    const call = await client.handle(target.app.name, target.spec.name).spawn(wish.deed);
    wish.accepted = true;
    const seen = client.seen(call.result());
    await scene.pause(dice.spread(1, 3_000));
    await client.persist(() => call.cancel());
    wish.seen = await seen;
  },
};
