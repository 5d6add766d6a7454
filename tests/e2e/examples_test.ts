import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { join } from "node:path";
import type { Call } from "../../sdk/protocol.ts";
import { withoutPython, withoutTorch } from "../setup/machine.ts";
import { Platform } from "../setup/platform.ts";
import { torchPython } from "../setup/torch_python.ts";
import { untilTrue } from "../setup/until.ts";

const example = (name: string): string => new URL(`../../sdk/examples/${name}`, import.meta.url).pathname;

describe("each example runs as its header says", () => {
  let platform: Platform;
  before(async () => {
    const env = withoutTorch ? {} : { PATH: `${await torchPython()}:${Deno.env.get("PATH")}` };
    platform = await Platform.up({ simulateGpus: "1xL4:24GiB", env });
  });
  after(() => platform[Symbol.asyncDispose]());

  const berth = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await platform.berth(...args);
    assert.equal(code, 0, stderr + stdout);
    return stdout;
  };
  const run = async (file: string, input: unknown, entry = ""): Promise<unknown> => {
    const { code, stdout, stderr } = await platform.berth(
      ...["run", example(file) + entry, "--input", JSON.stringify(input), "--json"],
    );
    assert.equal(code, 0, stderr + stdout);
    return (JSON.parse(stdout.trim().split("\n").at(-1)!) as Call).result;
  };
  const deploy = async (file: string): Promise<Map<string, string>> => {
    const { code, stdout, stderr } = await platform.berth("deploy", example(file), "--json");
    assert.equal(code, 0, stderr);
    const { endpoints } = JSON.parse(stdout) as { endpoints: { name: string; url: string }[] };
    return new Map(endpoints.map(({ name, url }) => [name, url]));
  };

  it("hello.ts: a function", async () => {
    assert.equal(await run("hello.ts", "world"), "Hello, world!");
  });

  it("map.ts: many calls from inside another", async () => {
    assert.deepEqual(await run("map.ts", 1000, ":primesBelow"), { tried: 1000, primes: 168 });
  });

  it("keys.ts: one at a time for each key", async () => {
    const users = ["ann", "bob", "ann", "ann", "bob"];
    assert.deepEqual(await run("keys.ts", users, ":importAll"), { imports: 5, clashes: 0 });
  });

  it("preemptible.ts: a training that gives way, and goes on", async () => {
    await deploy("preemptible.ts");
    const call = async (name: string, input: unknown, priority: number) => {
      const path = `/v1/apps/preemptible/functions/${name}/calls`;
      return (await platform.post<{ calls: { id: string }[] }>(path, { input, priority })).body.calls[0]!.id;
    };
    const training = await call("train", { epochs: 80 }, 10);
    await untilTrue(
      "the training reports",
      async () => (await platform.all<{ kind: string }>(`/v1/calls/${training}/events`)).length > 5,
    );
    assert.equal((await platform.ended(await call("answer", 20, 90))).result, 42);
    assert.deepEqual((await platform.ended(training)).result, { epochs: 80, attempts: 2 });
  });

  it("artifacts.ts: a training that publishes what it made", async () => {
    const { version, slope } = await run("artifacts.ts", { slope: 2 }, ":train") as Record<string, number>;
    assert.equal(version, 1);
    assert.ok(Math.abs(slope! - 2) < 0.05, `${slope}`);
  });

  it("batch.ts: batch inference over a volume", async () => {
    const here = async (...args: string[]) => {
      const { code, stderr } = await platform.berth(...args);
      assert.equal(code, 0, stderr);
    };
    const inputs = join(platform.dir, "inputs"), results = join(platform.dir, "results");
    const pictures = ["run", "-A", "--quiet", example("batch/pictures.ts"), inputs, "300"];
    assert.equal((await new Deno.Command(Deno.execPath(), { args: pictures }).output()).code, 0);
    await deploy("batch.ts");
    await here("volume", "put", "digits", inputs);
    const trained = await platform.call("batch/train", { epochs: 6, digits: 2_000 }, 240_000);
    assert.equal(trained.state, "succeeded", trained.failure?.message);
    const { result, failure } = await platform.call(
      "batch/classifyAll",
      { inputs: "inputs", perCall: 50 },
      240_000,
    );
    const summary = result as { pictures: number; right: number };
    assert.equal(summary?.pictures, 300, failure?.message);
    assert.ok(summary.right > 0.8 * 300, `${summary.right} of 300`);
    await here("volume", "get", "digits", "results", results);
    assert.deepEqual(JSON.parse(await Deno.readTextFile(join(results, "summary.json"))), summary);
    assert.equal([...Deno.readDirSync(results)].filter(({ name }) => name.endsWith(".jsonl")).length, 6);
  });

  it("stream.ts: a generator", async () => {
    assert.equal(await run("stream.ts", { from: 2 }), "lift-off");
  });

  it("secrets.ts: a value that a function is given and nobody is shown", async () => {
    const { code, stderr } = await platform.berth("secret", "set", "mail", "MAIL_KEY=a key of some length");
    assert.equal(code, 0, stderr);
    const expected = createHmac("sha256", "a key of some length").update("hello").digest("hex");
    assert.equal(await run("secrets.ts", "hello"), expected);
  });

  it("python.ts: a function in Python", { skip: withoutPython }, async () => {
    const { mean, stdev } = await run("python.ts", { numbers: [3, 1, 4, 1, 5] }) as {
      mean: number;
      stdev: number;
    };
    assert.equal(mean, 2.8);
    assert.ok(Math.abs(stdev - 1.6) < 1e-9);
  });

  it(
    "finetune.ts: a fine-tune in Python that resumes, and its classifier",
    { skip: withoutPython },
    async () => {
      await deploy("finetune.ts");
      const { result } = await platform.call("finetune/finetune", { epochs: 6, failAfter: 3 }, 240_000);
      const trained = result as Record<string, number>;
      assert.deepEqual([trained.attempt, trained.resumedAt], [2, 3]);
      assert.ok(trained.accuracy! > 0.95, String(trained.accuracy));
      const asked = await platform.call("finetune/Classifier.predict", [[0.9, 0.1], [0.1, 0.9]]);
      assert.deepEqual(asked.result, [1, 0]);
    },
  );

  it("torchrun.ts: a training of PyTorch on two nodes that resumes", { skip: withoutTorch }, async () => {
    await berth(
      "pools",
      "create",
      "duo",
      "--provider",
      "local",
      "--max",
      "2",
      "--cpu",
      "1",
      "--memory",
      "3GiB",
    );
    const input = { epochs: 8, failAfter: 4 };
    const trained = await run("torchrun.ts", input) as Record<string, number>;
    assert.deepEqual([trained.processes, trained.spread, trained.attempt], [2, 0, 2]);
    assert.ok(trained.resumedAt! >= 1 && trained.resumedAt! <= 4, `resumed at ${trained.resumedAt}`);
    assert.ok(trained.accuracy! > 0.95, `${trained.accuracy}`);
  });

  it(
    "lora.ts: a fine-tune of a language model that resumes, and what it writes",
    { skip: withoutTorch },
    async () => {
      await deploy("lora.ts");
      const { result, failure } = await platform.call("lora/finetune", { steps: 60, failAfter: 30 }, 120_000);
      const { loss, ...trained } = result as Record<string, unknown>;
      assert.deepEqual(
        trained,
        { device: "cpu", attempt: 2, resumedAt: 30, version: 1 },
        JSON.stringify(failure),
      );
      assert.ok(loss as number < 0.5, `${loss}`);
      const written = await platform.call("lora/Writer.write", "low rank", 120_000);
      assert.match(String(written.result), /^low rank adapters change/);
    },
  );

  it("endpoint.ts: a handler, and server-sent events as they are made", async () => {
    const urls = await deploy("endpoint.ts");
    assert.equal(await (await fetch(`${urls.get("greet")}/world`)).text(), "Hello, world!\n");
    const events = await (await fetch(urls.get("clock")!)).text();
    assert.equal(events, "data: tick 1\n\ndata: tick 2\n\ndata: tick 3\n\n");
  });

  it("server.ts: a program that listens", { skip: withoutPython }, async () => {
    const url = (await deploy("server.ts")).get("web")!;
    assert.match(await (await fetch(`${url}/server/index.html`)).text(), /Served by Python/);
  });

  it("vllm.ts: a server of an image, which waits for a GPU that there is not", async () => {
    assert.ok((await deploy("vllm.ts")).get("chat")!.endsWith("/e/vllm/chat"));
  });

  it("schedule.ts: a cron that really fires", async () => {
    await deploy("schedule.ts");
    await untilTrue("the counter has ticked", async () => {
      const { body } = await platform.ask<{ items: Call[] }>("/v1/calls?app=schedule&state=succeeded");
      return body.items.some((call) => call.function === "Counter.tick");
    });
  });
});
