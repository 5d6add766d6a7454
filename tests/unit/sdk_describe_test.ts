/** describeModule(): exports in, manifest out. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { App, bind, Cron, cron, endpoint, method } from "../../sdk/mod.ts";
import { DECLARATION } from "../../sdk/declaration.ts";
import { describeModule } from "../../sdk/describe.ts";
import { Manifest } from "../../sdk/protocol.ts";
import { VERSION } from "../../sdk/version.ts";
import { z } from "zod";
import * as vllm from "../../sdk/examples/vllm.ts";
import * as digits from "../fixtures/digits.ts";

/** The spec of the only function of a module. */
function only(module: Record<string, unknown>) {
  const { manifest } = describeModule(module);
  assert.equal(manifest.functions.length, 1);
  return manifest.functions[0]!;
}

describe("describeModule() of servers", () => {
  const app = new App("servers");
  const command = ["python3", "-m", "http.server", "$PORT"];

  it("describes one endpoint, the command, and the files to bundle", () => {
    const web = app.server({ command, files: ["page.html"], auth: "public", concurrency: 8, gpu: "L4" });
    const { manifest, files } = describeModule({ web });
    assert.deepEqual(files, ["page.html"]);
    const spec = Manifest.parse(manifest).functions[0]!;
    assert.deepEqual([spec.name, spec.body, spec.concurrency, spec.gpu], ["web", "server", 8, ["L4"]]);
    assert.deepEqual(spec.methods, [
      { name: "web", kind: "endpoint", stream: false, endpoint: { name: "web", auth: "public" } },
    ]);
    assert.deepEqual(spec.server, { command, socket: false, drain: "30s" });
  });

  it("takes a path for its health, or the whole of it", () => {
    const health = (value: string | { path: string; interval?: string }) =>
      Manifest.parse(describeModule({ web: app.server({ command, health: value }) }).manifest).functions[0]!
        .server!.health;
    const usual = { path: "/health", interval: "10s", timeout: "5s", failures: 3 };
    assert.deepEqual(health("/health"), usual);
    assert.deepEqual(health({ path: "/health", interval: "1s" }), { ...usual, interval: "1s" });
  });

  it("may leave the command to its image", () => {
    const web = app.server({ image: "vllm/vllm-openai:v0.11.0", port: 8000 });
    const [spec] = Manifest.parse(describeModule({ web }).manifest).functions;
    assert.deepEqual(spec!.server, { port: 8000, socket: false, drain: "30s" });
    assert.throws(() => app.server({}), /or there must be an `image` that runs one by itself/);
  });

  it("describes vLLM as its example declares it", () => {
    const { manifest } = describeModule(vllm);
    const { name, image, server, methods, ...spec } = Manifest.parse(manifest).functions[0]!;
    assert.deepEqual([name, image], ["chat", { ref: "vllm/vllm-openai:v0.11.0" }]);
    assert.deepEqual(server, {
      command: ["vllm", "serve", "Qwen/Qwen3-8B", "--host", "0.0.0.0", "--port", "$PORT"],
      port: 8_000,
      socket: false,
      health: { path: "/health", interval: "5s", timeout: "5s", failures: 3 },
      drain: "2m",
    });
    assert.deepEqual(methods.map(({ endpoint }) => endpoint), [{ name: "chat", auth: "key" }]);
    assert.deepEqual(spec.gpu, ["H100", "A100>=80GiB", { vram: ">=40GiB" }]);
    assert.deepEqual([spec.disk, spec.startTimeout, spec.concurrency], [60 * 1_024, "20m", 128]);
    assert.equal(spec.scale.targetConcurrency, 48);
  });

  it("refuses at once what is no command or no duration", () => {
    const declare = (options: unknown) => () => app.server(options as Parameters<App["server"]>[0]);
    assert.throws(declare({}), /`command` must be a list of texts/);
    assert.throws(declare({ command: "python3" }), /`command` must be a list of texts/);
    assert.throws(declare({ command: [] }), /`command` must be a list of texts/);
    assert.throws(declare({ command, drain: "soon" }), /Cannot read duration "soon"/);
  });

  it("does not run here", async () => {
    const web = app.server({ command });
    await assert.rejects(web.local(new Request("http://localhost/")), /it is a program/);
  });
});

describe("describeModule()", () => {
  it("describes a whole app as the contract wants it", () => {
    const { app, manifest, files, warnings } = describeModule(digits);
    assert.deepEqual([app, files, warnings], ["digits", [], []]);
    const { functions, sdkVersion } = Manifest.parse(manifest);
    assert.equal(sdkVersion, VERSION);
    assert.deepEqual(functions.map(({ name, kind, entry }) => [name, kind, entry]), [
      ["Digits", "class", "Digits"],
      ["count", "function", "count"],
      ["hello", "function", "hello"],
      ["nightly", "function", "nightly"],
      ["train", "function", "train"],
    ]);
    const [Digits, count, hello, nightly, train] = functions;
    assert.deepEqual(Digits!.methods, [
      { name: "Digits.classify", member: "classify", kind: "call", stream: false },
      { name: "Digits.refresh", member: "refresh", kind: "call", stream: false },
      {
        name: "Digits.http",
        member: "http",
        kind: "endpoint",
        stream: false,
        endpoint: { name: "classify", auth: "key" },
      },
    ]);
    assert.deepEqual(Digits!.schedules, [{
      method: "Digits.refresh",
      cron: "*/5 * * * *",
      timeZone: "UTC",
      input: null,
    }]);
    assert.deepEqual([Digits!.gpu, Digits!.concurrency, Digits!.scale.max, Digits!.scale.scaledownWindow], [
      ["L4:0.5"],
      8,
      4,
      "30s",
    ]);
    assert.equal(count!.methods[0]!.stream, true);
    assert.deepEqual(hello!.methods[0]!.endpoint, { name: "hello", auth: "public" });
    assert.deepEqual(nightly!.schedules, [{
      method: "nightly",
      cron: "0 3 * * *",
      timeZone: "Asia/Seoul",
      input: null,
    }]);
    assert.deepEqual([train!.gpu, train!.timeout, train!.retries.max], [["any"], "10m", 2]);
  });

  it("turns every option into its place in the spec", () => {
    const f = new App("a").function({
      gpu: ["H100:2", "A100"],
      cpu: 2,
      memory: "1.5GiB",
      timeout: "1h",
      startTimeout: "2m",
      retries: { max: 3, backoff: "2s", factor: 3, maxBackoff: "1m", on: ["timeout"] },
      concurrency: 4,
      scale: { min: 1, max: 2, buffer: 1, scaledownWindow: "5m" },
      permissions: { net: ["example.com"], env: true },
      env: { MODE: "fast" },
      schedule: ["* * * * *", Cron("0 0 * * *", { timeZone: "Europe/Berlin", input: { full: true } })],
    }, () => 1);
    assert.deepEqual(only({ f }), {
      name: "f",
      gpu: ["H100:2", "A100"],
      cpu: 2,
      memory: 1536,
      timeout: "1h",
      startTimeout: "2m",
      retries: { max: 3, backoff: "2s", factor: 3, maxBackoff: "1m", on: ["timeout"] },
      concurrency: 4,
      scale: { min: 1, max: 2, buffer: 1, scaledownWindow: "5m" },
      permissions: { net: ["example.com"], env: true },
      env: { MODE: "fast" },
      methods: [{ name: "f", kind: "call", stream: false }],
      schedules: [
        { method: "f", cron: "* * * * *", timeZone: "UTC", input: null },
        { method: "f", cron: "0 0 * * *", timeZone: "Europe/Berlin", input: { full: true } },
      ],
      kind: "function",
      body: "ts",
      entry: "f",
    });
  });

  it("writes the schema of the input down where it can be told", () => {
    const app = new App("a");
    const told =
      only({ f: app.function({ input: z.object({ n: z.number() }) }, () => 1) }).methods[0]!.inputSchema;
    assert.deepEqual([told?.type, told?.required], ["object", ["n"]]);
    const untold = only({ f: app.function({ input: z.object({ at: z.date() }) }, () => 1) }).methods[0]!;
    assert.equal("inputSchema" in untold, false);
  });

  it("writes the schema of a method down", () => {
    const app = new App("a");
    @app.cls()
    class C {
      @method({ input: z.string() })
      run(_text: string) {}
    }
    assert.equal(only({ C }).methods[0]!.inputSchema?.type, "string");
  });

  it("describes Python with its file, and lists the files that the bundle needs", () => {
    const app = new App("a");
    const options = {
      requirements: ["numpy==2.0.0"],
      preload: ["numpy"],
      files: ["lib/data.py"],
      stream: true,
    };
    const { manifest, files } = describeModule({ tune: app.python("lib/train.py:finetune", options) });
    const [tune] = Manifest.parse(manifest).functions;
    assert.deepEqual([tune!.body, tune!.entry, tune!.requirements], ["python", "lib/train.py:finetune", [
      "numpy==2.0.0",
    ]]);
    assert.deepEqual(tune!.methods, [{ name: "tune", kind: "call", stream: true }]);
    assert.deepEqual(tune!.preload, ["numpy"]);
    const misspelt = describeModule({ tune: app.python("t.py:f", { preload: ["numpy as np"] }) });
    assert.match(Manifest.safeParse(misspelt.manifest).error!.message, /must be the name of a module/);
    assert.deepEqual(files, ["lib/data.py", "lib/train.py"]);
  });

  it("says which npm packages are left out of the bundle", () => {
    const app = new App("a", { external: ["npm:onnxruntime-node@1.22.0"] });
    assert.deepEqual(describeModule({ f: app.function({}, () => 1) }).manifest.external, [
      "npm:onnxruntime-node@1.22.0",
    ]);
  });

  it("understands what another copy of the SDK declared", () => {
    const { [DECLARATION]: declaration } = new App("a").function({}, () => 1) as unknown as {
      [DECLARATION]: unknown;
    };
    const foreign = Object.defineProperty({}, Symbol.for("berth.declaration"), { value: declaration });
    assert.equal(only({ foreign }).name, "foreign");
  });
});

describe("describeModule() and names", () => {
  it("prefers the option, then the export, and a class's own name among several exports", () => {
    const app = new App("a");
    assert.equal(only({ f: app.function({ name: "given" }, () => 1) }).name, "given");
    @app.cls()
    class Digits {
      @method()
      run() {}
    }
    const { name, entry } = only({ Alias: Digits, Digits, default: Digits });
    assert.deepEqual([name, entry], ["Digits", "Digits"]);
  });

  it("lets a default export give way, and takes it when it has a name of its own", () => {
    const app = new App("a");
    const f = app.function({}, () => 1);
    assert.deepEqual([only({ default: f, f }).name, only({ default: f, f }).entry], ["f", "f"]);
    assert.equal(only({ default: app.function({ name: "given" }, () => 1) }).entry, "default");
  });

  const wrong: [what: string, module: () => Record<string, unknown>, message: RegExp][] = [
    [
      "a module without functions",
      () => ({ n: 1, none: null, f: () => 1 }),
      /it exports no functions; write `export const NAME/,
    ],
    ["functions of two apps", () => ({
      a: new App("a").function({}, () => 1),
      b: new App("b").function({}, () => 1),
    }), /functions of two apps, "a" and "b"/],
    ["one function under two names", () => {
      const f = new App("a").function({}, () => 1);
      return { first: f, second: f };
    }, /exported twice, as "first" and "second"/],
    ["two functions of one name", () => {
      const app = new App("a");
      return { f: app.function({}, () => 1), g: app.function({ name: "f" }, () => 1) };
    }, /two functions are named "f"/],
    [
      "a default export without a name",
      () => ({ default: new App("a").function({}, () => 1) }),
      /the default export: it has no name/,
    ],
    ["a class that nothing can call", () => {
      const app = new App("a");
      @app.cls()
      class Idle {}
      return { Idle };
    }, /Cannot deploy class Idle: it has no @method, @endpoint or @cron/],
    ["a member that is two things", () => {
      const app = new App("a");
      @app.cls()
      class Torn {
        @method()
        @endpoint()
        run(_: Request) {
          return new Response();
        }
      }
      return { Torn };
    }, /Cannot deploy Torn\.run: it is marked as two things/],
  ];
  for (const [what, module, message] of wrong) {
    it(`refuses ${what}`, () => {
      assert.throws(() => describeModule(module()), message);
    });
  }

  it("takes a member that is called by hand and by the clock as one method", () => {
    const app = new App("a");
    @app.cls()
    class Both {
      @cron("* * * * *")
      @method()
      run() {}
    }
    const { methods, schedules } = only({ Both });
    assert.deepEqual([methods.map(({ name }) => name), schedules!.map(({ method }) => method)], [
      ["Both.run"],
      ["Both.run"],
    ]);
  });

  it("warns of what is declared and not exported", () => {
    const app = new App("a");
    const f = app.function({}, () => 1);
    app.function({ name: "forgotten" }, () => 1);
    app.python("x.py:y");
    @app.cls()
    class Hidden {}
    assert.ok(Hidden);
    assert.deepEqual(describeModule({ f }).warnings, [
      "Declared but not exported, so not deployed: forgotten, a python without a name, Hidden",
    ]);
  });
});

describe("bind()", () => {
  it("does not take `default` for a name", () => {
    const f = new App("a").function({}, () => 1);
    bind({ default: f });
    const { [DECLARATION]: declaration } = f as unknown as { [DECLARATION]: { exportName?: string } };
    assert.equal(declaration.exportName, undefined);
  });
});
