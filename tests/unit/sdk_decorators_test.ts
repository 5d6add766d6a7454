/** The decorators: their marks, their types, and the classes they refuse. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import {
  App,
  bind,
  Client,
  type ContainerContext,
  type Context,
  Cron,
  cron,
  endpoint,
  enter,
  exit,
  handle,
  method,
} from "../../sdk/mod.ts";
import { type ClassDeclaration, declarationOf, type Mark } from "../../sdk/declaration.ts";
import { z } from "zod";
import { EchoApi } from "../setup/echo_api.ts";

const app = new App("digits");

class Base {
  order: string[] = [];
  @enter()
  first() {
    this.order.push("base");
  }
  @method()
  entered() {
    return this.order;
  }
}

@app.cls({ concurrency: 8 })
class Digits extends Base {
  #weights = 0;
  @enter()
  async load(ctx: ContainerContext) {
    this.order.push(ctx.container);
    this.#weights = (await ctx.checkpoint.load({ name: "absent" }))?.[0] ?? 42;
  }
  @method()
  classify(input: number[], ctx: Context) {
    return { digits: input.map((x) => x + this.#weights), attempt: ctx.attempt };
  }
  @method({ input: z.object({ n: z.number() }) })
  async *count({ n }: { n: number }) {
    for (let i = 1; i <= n; i++) yield i;
  }
  @endpoint({ name: "classify" })
  http(_request: Request) {
    return new Response("hello");
  }
  @cron(Cron("*/5 * * * *", { timeZone: "Asia/Seoul" }))
  @method()
  refresh() {}
  @exit()
  close() {}
}

const marks = (Class: unknown): readonly Mark[] => (declarationOf(Class) as ClassDeclaration).marks;
const names = (Class: unknown) => marks(Class).map(({ kind, member }) => `${kind} ${member}`);

describe("@app.cls and the marks", () => {
  it("collects what was marked, the parent's first", () => {
    assert.deepEqual(names(Digits), [
      "enter first",
      "method entered",
      "enter load",
      "method classify",
      "method count",
      "endpoint http",
      "method refresh",
      "cron refresh",
      "exit close",
    ]);
  });

  it("leaves the marks of a parent as they were", () => {
    @app.cls()
    class Parent extends Base {}
    assert.deepEqual(names(Parent), ["enter first", "method entered"]);
  });

  it("does not make a subclass what its parent is", () => {
    class Child extends Digits {}
    assert.equal(declarationOf(Child), undefined);
    assert.throws(() => handle(Child), /has no @app\.cls decorator/);
  });

  it("leaves the class as usable as before", () => {
    assert.deepEqual(new Digits().classify([1], { attempt: 7 } as Context), { digits: [1], attempt: 7 });
  });
});

describe("handle() of a class", () => {
  it("runs methods locally on one instance that has been entered", async () => {
    assert.deepEqual(await handle(Digits).classify.local([1]), { digits: [43], attempt: 1 });
    assert.deepEqual(await handle(Digits).entered.local(), ["base", "local"]);
  });

  it("checks inputs with the method's schema, and streams", async () => {
    assert.deepEqual(await Array.fromAsync(await handle(Digits).count.local({ n: 2 })), [1, 2]);
    await assert.rejects(handle(Digits).count.local({ n: "x" as unknown as number }), /input\.n: /);
  });

  it("says which member is not callable", async () => {
    assert.throws(() => handle(Digits).load, /Cannot call Digits\.load: it has no @method decorator/);
    const held = await handle(Digits);
    assert.equal(typeof held.classify.remote, "function");
  });

  it("is called by the class's name, or its export's once that is known", async () => {
    @app.cls()
    class Inner {
      @method()
      run() {}
    }
    const api = new EchoApi();
    const client = new Client({ url: "http://berth.test", key: "k", fetch: api.fetch });
    await handle(Inner, { client }).run.remote();
    bind({ Outer: Inner });
    await handle(Inner, { client }).run.remote();
    assert.deepEqual(api.requests.map(({ path }) => path.split("/")[5]), ["Inner.run", "Outer.run"]);
  });

  it("is typed by the class", () => {
    const check = () => {
      const result: Promise<{ digits: number[]; attempt: number }> = handle(Digits).classify.remote([1]);
      // @ts-expect-error a word is no list of numbers
      handle(Digits).classify.remote("1");
      // @ts-expect-error there is no such member
      handle(Digits).train;
      return result;
    };
    assert.equal(typeof check, "function");
  });
});

describe("what decorators refuse", () => {
  it("does not take static or private members", () => {
    assert.throws(() => {
      class Wrong {
        @method()
        static run() {}
      }
      return Wrong;
    }, /Cannot mark run with @method: it must be a public method of instances/);
    assert.throws(() => {
      class Wrong {
        @enter()
        #run() {}
        use() {
          this.#run();
        }
      }
      return Wrong;
    }, /Cannot mark #run with @enter/);
  });

  it("names the compiler option that brings legacy decorators", () => {
    const legacy = method() as unknown as (target: object, key: string, descriptor: object) => void;
    assert.throws(() => legacy({}, "run", {}), /`experimentalDecorators` replaces the standard ones/);
    const legacyClass = app.cls() as unknown as (target: object) => void;
    assert.throws(() => legacyClass(class {}), /`experimentalDecorators` replaces the standard ones/);
  });

  it("refuses code of the wrong shape, in types", () => {
    class Wrong {
      // @ts-expect-error an endpoint answers with a Response
      @endpoint()
      number(_request: Request) {
        return 1;
      }
      // @ts-expect-error there is no third argument
      @method()
      three(_input: number, _ctx: Context, _more: string) {}
      // @ts-expect-error the option is called name
      @endpoint({ nam: "x" })
      misspelt(_request: Request) {
        return new Response();
      }
      // @ts-expect-error schema and method disagree
      @method({ input: z.object({ a: z.number() }) })
      disagrees(_input: { b: string }) {}
    }
    assert.equal(typeof Wrong, "function");
  });
});
