/** map(): every input once, in its place, within the window, whatever happens on the way. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Client } from "../../sdk/client.ts";
import { CallFailedError } from "../../sdk/errors.ts";
import { Function } from "../../sdk/handle.ts";
import type { MapOptions } from "../../sdk/map.ts";
import { EchoApi, failure, passing } from "../setup/echo_api.ts";
import { ManualClock, settle } from "../setup/manual_clock.ts";

function setup() {
  const api = new EchoApi();
  const clock = new ManualClock();
  let drawn = 0;
  const random = { next: () => 0.5, bytes: (n: number) => new Uint8Array(n).fill(++drawn) };
  const client = new Client({ url: "http://berth.test", key: "k", fetch: api.fetch, clock, random });
  const echo = Function.fromName<(n: number) => number>("numbers", "echo", { client });
  const all = (inputs: Iterable<number> | AsyncIterable<number>, options: MapOptions = {}) =>
    passing(clock, Array.fromAsync(echo.map(inputs, options)));
  return { api, clock, echo, all };
}

const numbers = (n: number) => Array.from({ length: n }, (_, i) => i);
const cancels = ({ batches }: EchoApi) => batches.map(({ cancelled }) => cancelled.length);

const full = () => {
  const error = { code: "quota_exceeded", message: "no room", requestId: "req_1" };
  return Response.json({ error }, { status: 429, headers: { "retry-after": "1" } });
};

/** Ends all calls that there are, again and again, until so many have ended. */
async function run(api: EchoApi, clock: ManualClock, calls: number, ended: (n: number) => void) {
  for (let done = 0; done < calls; await clock.sleep(200)) {
    let now = 0;
    api.batches.forEach(({ inputs, ends }, batch) =>
      inputs.forEach((input, index) => {
        if (!ends.has(index)) now++, api.end(batch, index, ["succeeded", input]);
      })
    );
    done += now;
    ended(now);
  }
}

describe("map()", () => {
  it("gives the results in the order of the inputs, though the calls end in another", async () => {
    const { api, all } = setup();
    api.order = (a, b) => b - a;
    assert.deepEqual(await all(numbers(3_500)), numbers(3_500));
    assert.deepEqual(api.batches.map(({ inputs }) => inputs.length), [1_000, 1_000, 1_000, 500]);
  });

  it("gives the results as calls end when asked to", async () => {
    const { api, all } = setup();
    api.order = (a, b) => b - a;
    assert.deepEqual(await all(numbers(5), { order: "completion" }), [4, 3, 2, 1, 0]);
  });

  it("creates fewer calls at a time while there is no room for more, each once and in its place", async () => {
    const { api, clock, echo } = setup();
    api.run = () => undefined;
    let room = 100;
    api.fault = ({ method, body }) => {
      const size = method === "POST" ? (JSON.parse(body).inputs ?? []).length : 0;
      if (size > room) return full();
      room -= size;
    };
    const results = Array.fromAsync(echo.map(numbers(1_500)));
    await passing(clock, run(api, clock, 1_500, (ended) => room += ended));
    assert.deepEqual(await results, numbers(1_500));
    assert.ok(api.batches.every(({ inputs }) => inputs.length <= 100));
  });

  it("gives up when there is no room, none of its own calls run and its patience is over", async () => {
    const { api, clock, all } = setup();
    api.fault = () => full();
    const began = clock.now();
    await assert.rejects(all(numbers(8)), /no room/);
    assert.ok(clock.now() - began >= 60_000);
  });

  it("asks nothing of the platform for no inputs", async () => {
    const { api, all } = setup();
    assert.deepEqual(await all([]), []);
    assert.equal(api.requests.length, 0);
  });

  it("does nothing before it is read", async () => {
    const { api, echo } = setup();
    let pulled = 0;
    const source = (function* () {
      for (;;) yield pulled++;
    })();
    const results = echo.map(source);
    await settle();
    assert.deepEqual([pulled, api.requests.length], [0, 0]);
    await results.next();
    assert.ok(pulled > 0);
    await results.return!();
  });

  it("never reads its source further ahead than the window", async () => {
    const { clock, echo } = setup();
    let pulled = 0;
    const source = (function* () {
      while (pulled < 200) yield pulled++;
    })();
    const results = echo.map(source, { window: 40 });
    for (let read = 0; read < 200; read++) {
      assert.deepEqual(await passing(clock, results.next()), { done: false, value: read });
      await settle();
      assert.ok(pulled - read <= 41, `read ${read}, pulled ${pulled}`);
    }
    assert.equal((await passing(clock, results.next())).done, true);
  });

  it("sends what it has when its source is slow", async () => {
    const { api, clock, echo } = setup();
    const third = Promise.withResolvers<number>();
    const source = (async function* () {
      yield 0;
      yield 1;
      yield await third.promise;
    })();
    const results = echo.map(source);
    assert.deepEqual(
      [await passing(clock, results.next()), await passing(clock, results.next())].map(({ value }) => value),
      [0, 1],
    );
    assert.deepEqual(api.batches.map(({ inputs }) => inputs), [[0, 1]]);
    third.resolve(2);
    assert.equal((await passing(clock, results.next())).value, 2);
    assert.equal((await passing(clock, results.next())).done, true);
  });

  it("throws where an input fails, after what came before it, and cancels the rest", async () => {
    const { api, clock, echo } = setup();
    api.run = (n) => n === 3 ? ["failed", failure("three")] : Number(n) < 5 ? ["succeeded", n] : undefined;
    const seen: number[] = [];
    const reading = (async () => {
      for await (const n of echo.map(numbers(1_500))) seen.push(n);
    })();
    const error = await passing(clock, reading.catch((error) => error));
    assert.ok(error instanceof CallFailedError);
    assert.equal(error.callId, "call_0000000000_3");
    assert.deepEqual(seen, [0, 1, 2]);
    assert.deepEqual(cancels(api), [1, 1]);
  });

  it("tells how each call ended, and of which input, when failures are to be yielded", async () => {
    const { api, clock, echo } = setup();
    api.run = (n) => n === 1 ? ["failed", failure("one")] : ["succeeded", n];
    api.order = (a, b) => b - a;
    const settled = await passing(
      clock,
      Array.fromAsync(echo.map([0, 1, 2], { order: "completion", onError: "yield" })),
    );
    assert.deepEqual(settled.map(({ index, status }) => [index, status]), [
      [2, "fulfilled"],
      [1, "rejected"],
      [0, "fulfilled"],
    ]);
    const [, second] = settled;
    assert.ok(second?.status === "rejected" && second.reason.message.includes("one"));
  });

  it("cancels what has not ended, and nothing else, when the loop is left early", async () => {
    const { api, clock, echo } = setup();
    api.run = (n) => Number(n) < 1_000 ? ["succeeded", n] : undefined;
    const leaving = (async () => {
      let read = 0;
      for await (const _ of echo.map(numbers(2_000))) if (++read === 1_000) break;
    })();
    await passing(clock, leaving);
    assert.deepEqual(cancels(api), [0, 1]);
  });

  it("cancels and throws the reason when the signal aborts", async () => {
    const { api, clock, echo } = setup();
    api.run = () => undefined;
    const abort = new AbortController();
    const rejected = assert.rejects(echo.map([1, 2], { signal: abort.signal }).next(), /enough/);
    await clock.advance(10);
    abort.abort(new Error("enough"));
    await passing(clock, rejected);
    await clock.advance(10);
    assert.deepEqual(cancels(api), [1]);
  });

  it("throws at once when the signal was aborted before", async () => {
    const { api, echo } = setup();
    await assert.rejects(echo.map([1], { signal: AbortSignal.abort(new Error("enough")) }).next(), /enough/);
    assert.equal(api.requests.length, 0);
  });

  it("throws what its source throws, and cancels what was sent", async () => {
    const { api, clock, echo } = setup();
    api.run = () => undefined;
    const source = (function* () {
      yield* numbers(1_000);
      throw new Error("source broke");
    })();
    await assert.rejects(passing(clock, echo.map(source).next() as Promise<unknown>), /source broke/);
    assert.deepEqual(cancels(api), [1]);
  });

  it("names the input that is no JSON", async () => {
    const { clock, echo } = setup();
    const inputs = [1, 2n as unknown as number];
    await assert.rejects(
      passing(clock, echo.map(inputs).next() as Promise<unknown>),
      /Cannot send input 1: .*BigInt/,
    );
  });

  it("throws the platform's refusal", async () => {
    const { api, clock, echo } = setup();
    api.fault = () =>
      Response.json({ error: { code: "not_found", message: "No function echo" } }, { status: 404 });
    await assert.rejects(passing(clock, echo.map([1]).next() as Promise<unknown>), /No function echo/);
  });

  it("refuses a window without room", () => {
    const { echo } = setup();
    assert.throws(() => echo.map([1], { window: 0 }), /window must be at least 1/);
  });

  it("runs each input once and gives it back once, whatever is lost, cut or repeated", async () => {
    for (let seed = 1; seed <= 25; seed++) {
      const { api, all } = setup();
      const draw = drawing(seed);
      api.fault = () => (["unreached", "lost", undefined, undefined] as const)[draw(4)];
      api.cutAfter = 50 + draw(700);
      const size = draw(4_000);
      const order = draw(2) === 0 ? "input" : "completion";
      const results = await all(numbers(size), { order, window: 1 + draw(3_000) });
      const wanted = numbers(size);
      assert.deepEqual(order === "input" ? results : results.sort((a, b) => a - b), wanted, `seed ${seed}`);
      assert.deepEqual(
        api.batches.flatMap(({ inputs }) => inputs as number[]).sort((a, b) => a - b),
        wanted,
        `seed ${seed}`,
      );
    }
  });
});

/** Whole numbers below a bound, the same for each seed. */
function drawing(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761 >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
}
