/** guest.py with classes, and calls of other functions from Python. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { withoutPython } from "../setup/machine.ts";
import { Host, pythonGuest } from "../setup/guest_host.ts";

const BASE = `from berth import enter, method
class Base:
    @enter
    def first(self): self.order = ["base"]
    @method
    def ping(self): return "pong"
`;
const MODEL = `import berth
from base import Base
class Model(Base):
    @berth.enter
    def load(self, ctx):
        self.order.append("own")
        self.weights = (ctx.checkpoint.load(name="weights") or b"*")[0]
        ctx.log("entered", rank=ctx.rank)
    @berth.method
    def predict(self, input): return [x + self.weights for x in input]
    @berth.method
    def entered(self, _, ctx): return [self.order, ctx.container, ctx.function]
    @berth.method
    def count(self, to):
        for n in range(to): yield n + self.weights
    def hidden(self): return 1
    @berth.exit
    def close(self): print("closed", self.weights)
`;

const call = (member: string) => ({ member, kind: "call", stream: false } as const);
const members = (...names: string[]) =>
  Object.fromEntries(names.map((name) => [`Model.${name}`, call(name)]));

async function started(model: string, methods: ReturnType<typeof members>, concurrency = 1) {
  const host = await Host.start(pythonGuest, { "base.py": BASE, "model.py": model });
  const load = { path: host.slot, entry: "model.py:Model", kind: "class", function: "Model" } as const;
  return { host, answer: host.load({ ...load, methods, concurrency }) };
}

async function entered(): Promise<Host> {
  const { host, answer } = await started(MODEL, members("predict", "entered", "count", "ping"));
  const { n, c, name } = await host.next("checkpoint-load");
  assert.deepEqual([c, name], [undefined, "weights"]);
  host.send({ t: "reply", n, ok: true }, new Uint8Array([40]));
  assert.equal((await answer).t, "ready");
  return host;
}

describe("guest.py runs classes", { skip: withoutPython }, () => {
  it("builds one instance, enters it with the parent's marks first, and exits it", async () => {
    await using host = await entered();
    host.call(1, [1, 2], { method: "Model.predict" });
    host.call(2, null, { method: "Model.entered" });
    host.call(3, null, { method: "Model.ping" });
    assert.deepEqual(await host.value(1), [41, 42]);
    assert.deepEqual(await host.value(2), [["base", "own"], "ctr_1", "Model"]);
    assert.equal(await host.value(3), "pong");
    host.send({ t: "drain" });
    const { code, stdout } = await host.output();
    assert.deepEqual([code, stdout], [0, 'entered {"rank":0}\nclosed 40\n']);
  });

  it("streams a method that is a generator", async () => {
    await using host = await entered();
    host.call(1, 2, { method: "Model.count" });
    assert.equal(await host.value(1), null);
    assert.deepEqual(host.all("event").map(({ data }) => data), [{ value: 40 }, { value: 41 }]);
  });

  it("runs async methods, sync ones and hooks beside each other on one loop", async () => {
    const { host, answer } = await started(
      `import asyncio
from berth import enter, exit, method
class Model:
    @enter
    async def load(self): self.met = asyncio.Barrier(2) if hasattr(asyncio, "Barrier") else None
    @method
    async def slow(self, n):
        if self.met: await self.met.wait()
        return n
    @method
    def quick(self, n): return -n
    @exit
    async def close(self): print("closed")
`,
      members("slow", "quick"),
      3,
    );
    await using _ = host;
    assert.equal((await answer).t, "ready");
    host.call(1, 1, { method: "Model.slow" });
    host.call(2, 2, { method: "Model.quick" });
    host.call(3, 3, { method: "Model.slow" });
    assert.deepEqual([await host.value(1), await host.value(2), await host.value(3)], [1, -2, 3]);
    host.send({ t: "drain" });
    assert.equal((await host.output()).stdout, "closed\n");
  });

  const broken: [what: string, model: string, message: RegExp][] = [
    ["enter raises", MODEL.replace("ctx.log(", "raise OSError("), /no weights|^OSError: /],
    [
      "a method has no mark",
      MODEL.replace("@berth.method\n    def predict", "def predict"),
      /Model\.predict has no @method/,
    ],
  ];
  for (const [what, model, message] of broken) {
    it(`is broken when ${what}`, async () => {
      const { host, answer } = await started(
        model.replace('(ctx.checkpoint.load(name="weights") or b"*")[0]', "1").replace(
          '"entered", rank=ctx.rank',
          '"no weights"',
        ),
        members("predict"),
      );
      await using _ = host;
      const said = await answer;
      assert.ok(said.t === "broken");
      assert.match(said.message, message);
    });
  }
});

describe("berth.Function in guest.py", { skip: withoutPython }, () => {
  const CODE = `from berth import CallFailedError, Function, PlatformError
def train(what, ctx):
    other = Function.from_name("shop", "double")
    try:
        return list(other.map([1, 2])) if what == "map" else other.remote(what)
    except CallFailedError as error: return [error.call_id, error.failure["kind"]]
    except PlatformError as error: return [error.code, str(error)]
`;
  const METHODS = { train: { member: null, kind: "call", stream: false } } as const;
  const started = async () => {
    const host = await Host.start(pythonGuest, { "train.py": CODE });
    await host.load({ path: host.slot, entry: "train.py:train", methods: METHODS });
    return host;
  };
  const answerFetch = async (host: Host, path: RegExp, status: number, ...lines: unknown[]) => {
    const { frame, body } = await host.seen(({ frame }) => frame.t === "fetch" && path.test(frame.path));
    assert.ok(frame.t === "fetch");
    host.send({ t: "reply", n: frame.n, ok: true, status });
    const text = lines.map((line) => JSON.stringify(line)).join("\n") + "\n";
    host.send({ t: "chunk", n: frame.n, end: false }, new TextEncoder().encode(text));
    host.send({ t: "chunk", n: frame.n, end: true });
    return { frame, sent: body === undefined ? null : JSON.parse(new TextDecoder().decode(body)) };
  };

  it("creates calls once, and gives their results in order", async () => {
    await using host = await started();
    host.call(1, "map");
    const { frame, sent } = await answerFetch(host, /calls$/, 202, { batch: "batch_000000001z", calls: [] });
    assert.equal(frame.path, "/v1/apps/shop/functions/double/calls");
    assert.match(frame.headers["idempotency-key"]!, /^sdk-[0-9a-f]{32}$/);
    assert.deepEqual(sent, { inputs: [1, 2] });
    await answerFetch(host, /results/, 200, [], [1, "succeeded", 4, null], [0, "succeeded", 2, null]);
    assert.deepEqual(await host.value(1), [2, 4]);
  });

  it("raises the failure of a call, and what the platform refuses", async () => {
    await using host = await started();
    host.call(1, 7);
    await answerFetch(host, /calls$/, 202, { batch: "batch_000000001z", calls: [] });
    const failure = { kind: "timeout", message: "too slow", retryable: true };
    await answerFetch(host, /results/, 200, [0, "failed", null, failure]);
    assert.deepEqual(await host.value(1), ["call_000000001z_0", "timeout"]);
    await using other = await started();
    other.call(1, 7);
    await answerFetch(other, /calls$/, 404, { error: { code: "not_found", message: "There is none" } });
    assert.deepEqual(await other.value(1), ["not_found", "There is none"]);
  });
});
