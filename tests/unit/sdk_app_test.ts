/** App and what it declares: handles, their types, running locally, early complaints. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import {
  App,
  bind,
  type CallHandle,
  Client,
  Cron,
  Function,
  handle,
  type Json,
  NonRetryableError,
} from "../../sdk/mod.ts";
import { z } from "zod";
import { EchoApi } from "../setup/echo_api.ts";

/** Fails to compile when the types differ. */
const sameType = <A, B>(..._: [A] extends [B] ? [B] extends [A] ? [] : ["wider"] : ["other"]) => {};
type Promised<F extends (...args: never) => unknown> = Awaited<ReturnType<F>>;

describe("app.function()", () => {
  it("types the handle from the handler: input, result after JSON, yields", () => {
    const app = new App("types");
    const train = app.function({ gpu: "any" }, async (input: { epochs: number }, ctx) => {
      await ctx.checkpoint.save(new Uint8Array(1));
      return {
        at: new Date(0),
        epochs: input.epochs,
        none: undefined as undefined | string,
        [ctx.callId]: 1,
      };
    });
    sameType<Parameters<typeof train.remote>[0], { epochs: number }>();
    sameType<Promised<typeof train.remote>["at"], string>();
    const count = app.function({}, async function* (to: number) {
      yield new Date(to);
    });
    sameType<ReturnType<typeof count.stream>, AsyncGenerator<string>>();
    sameType<Promised<typeof count.remote>, null>();
    const nightly = app.function({ schedule: Cron("0 3 * * *") }, () => train.spawn({ epochs: 1 }));
    sameType<Promised<typeof nightly.remote>, { id: string }>();
    const tuple = app.function({}, (): [number, Date?] => [1]);
    sameType<Promised<typeof tuple.remote>[0], number>();
    const check = () => {
      // @ts-expect-error the input is missing
      train.remote();
      // @ts-expect-error a word is not a number
      train.remote({ epochs: "many" });
      // @ts-expect-error a source of the wrong inputs
      train.map(["a"]);
      // @ts-expect-error it is no generator
      const yielded: AsyncIterable<number> & { never: true } = train.stream({ epochs: 1 });
      nightly.remote();
      nightly.remote(undefined, { signal: AbortSignal.timeout(1) });
      return yielded;
    };
    assert.equal(typeof check, "function");
  });

  it("types input and handler from a schema", async () => {
    const app = new App("types");
    const shift = app.function(
      { input: z.object({ day: z.coerce.date(), by: z.number().default(1) }) },
      ({ day, by }, ctx) => {
        sameType<typeof day, Date>();
        return day.getTime() + by + ctx.attempt;
      },
    );
    sameType<Parameters<typeof shift.remote>[0]["by"], number | undefined>();
    assert.equal(await shift.local({ day: new Date(5) }), 7);
    await assert.rejects(shift.local({ day: new Date(5), by: "x" as unknown as number }), /input\.by: /);
    const check = () => {
      // @ts-expect-error schema and handler disagree
      app.function({ input: z.object({ a: z.number() }) }, (input: { b: string }) => input);
    };
    assert.equal(typeof check, "function");
  });

  it("refuses misspelt options, in types", () => {
    const app = new App("types");
    const check = () => {
      // @ts-expect-error gpus
      app.function({ gpus: "any" }, () => 1);
      // @ts-expect-error scale.maximum
      app.function({ scale: { maximum: 1 } }, () => 1);
      // @ts-expect-error retries.on
      app.function({ retries: { on: ["bad_luck"] } }, () => 1);
    };
    assert.equal(typeof check, "function");
  });

  const wrong: [what: string, declare: (app: App) => unknown, message: RegExp][] = [
    ["a GPU", (app) => app.function({ gpu: "H100:1.5" }, () => 1), /Cannot read GPU request "H100:1.5"/],
    ["a duration", (app) => app.function({ timeout: "soon" }, () => 1), /Cannot read duration "soon"/],
    [
      "a window",
      (app) => app.function({ scale: { scaledownWindow: "1x" } }, () => 1),
      /Cannot read duration "1x"/,
    ],
    ["an amount of memory", (app) => app.function({ memory: "2GB" }, () => 1), /Cannot read memory "2GB"/],
    [
      "code that is none",
      (app) => app.function({}, undefined as never),
      /its second argument must be a function/,
    ],
    [
      "an endpoint without code",
      (app) => app.endpoint({}, 1 as never),
      /its second argument must be a function/,
    ],
    [
      "a schema that is none",
      (app) => app.function({ input: {} as never }, () => 1),
      /`input` must be a Standard Schema/,
    ],
    ["a Python entry", (app) => app.python("train.py"), /expected "file\.py:function"/],
    [
      "a schedule",
      (app) => app.function({ schedule: Cron(5 as never) }, () => 1),
      /the cron expression must be a text/,
    ],
  ];
  for (const [what, declare, message] of wrong) {
    it(`complains where it is declared about ${what}`, () => {
      assert.throws(() => declare(new App("digits")), message);
    });
  }

  it("runs locally with a context of its own, and with one that is given", async () => {
    const app = new App("local");
    const train = app.function({}, async (input: { epochs: number }, ctx) => {
      const from = await ctx.checkpoint.load();
      await ctx.checkpoint.save(new Uint8Array([input.epochs]), { name: "last" });
      ctx.report({ loss: 1 });
      ctx.progress(1, 2);
      return { from, last: await ctx.checkpoint.load({ name: "last" }), attempt: ctx.attempt };
    });
    const result = await train.local({ epochs: 3 });
    assert.deepEqual(result, { from: undefined, last: new Uint8Array([3]), attempt: 1 });
  });

  it("runs generators locally as what they are", async () => {
    const count = new App("local").function({}, async function* (to: number) {
      for (let n = 1; n <= to; n++) yield n;
    });
    assert.deepEqual(await Array.fromAsync(await count.local(3)), [1, 2, 3]);
  });

  it("knows its name once its module is bound, and says what to do before", async () => {
    const app = new App("names");
    const module = { double: app.function({}, (n: number) => 2 * n), other: 1 };
    await assert.rejects(module.double.remote(1), /its name is that of its export.*bind\(await import/);
    assert.equal(bind(module), module);
    const api = new EchoApi();
    const client = new Client({ url: "http://berth.test", key: "k", fetch: api.fetch });
    await module.double.withOptions({ client }).remote(1);
    assert.equal(api.requests[0]!.path, "/v1/apps/names/functions/double/calls");
  });
});

describe("Function.fromName()", () => {
  it("takes its types from a handle, a method or a function", () => {
    const app = new App("names");
    const train = app.function({}, (input: { epochs: number }) => input.epochs);
    const byHandle = Function.fromName<typeof train>("names", "train");
    sameType<typeof byHandle, typeof train>();
    const byFunction = Function.fromName<(n: number) => Promise<Date>>("names", "date");
    sameType<Promised<typeof byFunction.remote>, string>();
    const byNothing = Function.fromName("names", "any");
    sameType<Promised<typeof byNothing.spawn>, CallHandle<unknown>>();
    assert.ok(byHandle !== undefined);
  });

  it("cannot run locally", async () => {
    await assert.rejects(Function.fromName("names", "any").local(1), /Cannot run names\/any locally/);
  });
});

describe("app.python()", () => {
  it("is typed by what it is given, and does not run here", async () => {
    const app = new App("digits");
    const tune = app.python<{ epochs: number }, { loss: number }>("train.py:tune", {
      requirements: ["numpy==2.0.0"],
    });
    sameType<Promised<typeof tune.remote>, { loss: number }>();
    const tokens = app.python<string, Json, string>("model.py:tokens");
    sameType<ReturnType<typeof tokens.stream>, AsyncGenerator<string>>();
    await assert.rejects(tune.local({ epochs: 1 }), /it is Python/);
  });

  it("gives a handle for each method of a class, typed by what is said", async () => {
    const { Model } = bind({ Model: new App("digits").python("model.py:Model") });
    const { predict } = handle<{ predict(input: number[]): number }>(Model);
    sameType<Promised<typeof predict.remote>, number>();
    await assert.rejects(predict.local([1]), /Cannot run model\.py:Model locally: it is Python/);
    const api = new EchoApi();
    const client = new Client({ url: "http://berth.test", key: "k", fetch: api.fetch });
    await handle<{ predict(input: number[]): number }>(Model, { client }).predict.spawn([1]);
    assert.match(api.requests[0]!.path, /digits\/functions\/Model\.predict\/calls$/);
  });
});

describe("app.endpoint()", () => {
  it("answers locally, with a context", async () => {
    const hello = new App("web").endpoint({ auth: "public" }, (request, ctx) => {
      return new Response(`${ctx.app} ${new URL(request.url).pathname} ${ctx.signal.aborted}`);
    });
    assert.equal(await (await hello.local(new Request("http://localhost/x"))).text(), "web /x false");
  });
});

describe("NonRetryableError", () => {
  it("says that it is final, also when extended", () => {
    class Negative extends NonRetryableError {
      override readonly name = "Negative";
    }
    const error = new Negative("negative");
    assert.deepEqual([error.retryable, error.name, error instanceof Error], [false, "Negative", true]);
  });
});

describe("handle()", () => {
  it("refuses classes that no app has declared", () => {
    assert.throws(() => handle(class Plain {}), /Cannot make a handle: Plain has no @app\.cls decorator/);
  });
});
