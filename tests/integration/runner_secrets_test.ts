/** Secrets in real guests: given as variables, as files and by ctx, told by none, and out of reach for others. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { DeliveredSecret, Failure } from "../../sdk/protocol.ts";
import { withoutPython } from "../setup/machine.ts";
import { TestRunner, tsFunction } from "../setup/runner.ts";
import { until, untilTrue } from "../setup/until.ts";

const PASSWORD = 'correct "horse" battery';
const TOKEN = "hf_0123456789abcdef";
const SECRETS: DeliveredSecret[] = [
  { name: "hf", as: "env", values: { HF_TOKEN: TOKEN } },
  { name: "db", as: "files", path: "/run/secrets", values: { PASSWORD, USER: "ann" } },
];
const NAMED = SECRETS.map(({ values: _, ...ref }) => ref);

async function setup() {
  const runner = await TestRunner.start({ poolSize: 1 });
  runner.api.secrets = SECRETS;
  const { api } = runner;
  const run = async (
    source: string,
    spec: Parameters<TestRunner["assign"]>[1] = {},
    input: unknown = null,
  ) => {
    const assignment = await runner.assign(source, { secrets: NAMED, ...spec });
    api.want(assignment);
    const batch = api.call("fn", [input as string]);
    const end = await until("the call ends", () => api.endOf(batch) ?? null);
    const lines = () => (api.logs.get(`${batch}:0`) ?? []).map((line) => line[5]);
    return { ...end, batch, lines, container: assignment.id };
  };
  return { runner, api, run };
}

const ALL = `(_, ctx) => {
  const file = ctx.secretFile("PASSWORD");
  const { mode } = Deno.statSync(file);
  return {
    ctx: [ctx.secret("HF_TOKEN"), ctx.secret("PASSWORD"), ctx.secret("USER")],
    env: Deno.env.get("HF_TOKEN"),
    file: Deno.readTextFileSync(file),
    mode: mode & 0o777,
    path: file,
  };
}`;

describe("secrets in a TypeScript guest", () => {
  it("are variables, files and values of ctx, and gone with the container", async () => {
    const { runner, api, run } = await setup();
    await using _ = runner;
    const { value, container } = await run(tsFunction(ALL));
    const { path, ...rest } = value as { path: string };
    assert.deepEqual(rest, {
      ctx: [TOKEN, PASSWORD, "ann"],
      env: TOKEN,
      file: PASSWORD,
      mode: 0o400,
    });
    assert.deepEqual(api.deliveries, [container]);
    assert.equal((await Deno.stat(path.slice(0, path.lastIndexOf("/")))).mode! & 0o777, 0o700);
    api.want();
    await untilTrue("the files are gone", () => Deno.stat(path).then(() => false, () => true));
  });

  it("are all that it may see beside its own", async () => {
    const { runner, run } = await setup();
    await using _ = runner;
    const probes = `() => {
      const tried = {};
      const attempt = (name, work) => { try { tried[name] = work() ?? null; } catch (error) { tried[name] = error.name; } };
      attempt("another variable", () => Deno.env.get("PASSWORD"));
      attempt("all variables", () => Deno.env.toObject());
      attempt("its environment", () => Deno.readTextFileSync("/proc/self/environ"));
      attempt("other slots", () => [...Deno.readDirSync(${JSON.stringify(`${runner.dir}/slots`)})].length);
      return tried;
    }`;
    assert.deepEqual((await run(tsFunction(probes))).value, {
      "another variable": "NotCapable",
      "all variables": "NotCapable",
      "its environment": "NotCapable",
      "other slots": "NotCapable",
    });
  });

  it("are not asked for by a function that names none, which finds nothing of another's", async () => {
    const { runner, api, run } = await setup();
    await using _ = runner;
    const { value } = await run(tsFunction(ALL));
    const { path } = value as { path: string };
    const hostile = await run(
      tsFunction(`(path, ctx) => {
        const tried = [];
        const attempt = (work) => { try { tried.push(work()); } catch (error) { tried.push(error.name); } };
        attempt(() => Deno.readTextFileSync(path));
        attempt(() => Deno.env.get("HF_TOKEN"));
        attempt(() => ctx.secret("HF_TOKEN"));
        return tried;
      }`),
      { secrets: [] },
      path,
    );
    assert.deepEqual(hostile.value, ["NotCapable", "NotCapable", "TypeError"]);
    assert.equal(api.deliveries.length, 1);
  });

  it("are in no line, event or failure that leaves the runner", async () => {
    const { runner, api, run } = await setup();
    await using _ = runner;
    const source = tsFunction(`async (_, ctx) => {
      console.log("token", ctx.secret("HF_TOKEN"));
      console.error({ password: ctx.secret("PASSWORD") });
      ctx.log("basic " + btoa("ann:" + ctx.secret("HF_TOKEN")), { url: encodeURIComponent(ctx.secret("PASSWORD")) });
      ctx.report({ note: ctx.secret("HF_TOKEN") });
      const bytes = new TextEncoder().encode("raw " + ctx.secret("HF_TOKEN") + " end\\n");
      for (const byte of bytes) {
        Deno.stdout.writeSync(new Uint8Array([byte]));
        if (byte % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      }
      throw new Error("Cannot log in with " + ctx.secret("HF_TOKEN"));
    }`);
    const { value, lines, batch } = await run(source);
    const failure = value as unknown as Failure;
    assert.equal(failure.message, "Cannot log in with [secret hf.HF_TOKEN]");
    assert.match(failure.stack!, /\[secret hf\.HF_TOKEN\]/);
    await untilTrue("the raw line is there", () => lines().includes("raw [secret hf.HF_TOKEN] end"));
    assert.ok(lines().includes("token [secret hf.HF_TOKEN]"));
    const told = JSON.stringify([failure, lines(), api.events.get(`${batch}:0`)]);
    for (const value of [TOKEN, PASSWORD, JSON.stringify(PASSWORD).slice(1, -1), btoa(TOKEN).slice(2, 20)]) {
      assert.ok(!told.includes(value), value);
    }
    assert.ok(told.includes('"note":"[secret hf.HF_TOKEN]"'));
  });

  it("are not in the reason for which a container did not start", async () => {
    const { runner, api } = await setup();
    await using _ = runner;
    const source = `throw new Error("Cannot load with " + Deno.env.get("HF_TOKEN"));`;
    const assignment = await runner.assign(source, { secrets: NAMED });
    api.want(assignment);
    const { exit } = await until("it has exited", () => {
      const seen = api.observed.get(assignment.id);
      return seen?.observed === "exited" ? seen : null;
    });
    assert.equal(exit!.kind, "start_failed");
    assert.match(exit!.message, /Cannot load with \[secret hf\.HF_TOKEN\]/);
    assert.ok(!exit!.message.includes(TOKEN));
  });

  it("that the platform refuses are a reason not to start", async () => {
    const { runner, api } = await setup();
    await using _ = runner;
    api.refusesSecrets = 'Cannot start without secret "db": it was deleted';
    const assignment = await runner.assign(tsFunction("() => 1"), { secrets: NAMED });
    api.want(assignment);
    const exit = await until("it has exited", () => api.observed.get(assignment.id)?.exit ?? null);
    assert.deepEqual(exit, { kind: "start_failed", message: api.refusesSecrets });
  });
});

describe("secrets in a Python guest", { skip: withoutPython }, () => {
  it("are variables, files and values of ctx, and in no line", async () => {
    const { runner, run } = await setup();
    await using _ = runner;
    const source = `
import os, json

def fn(input, ctx):
    print("token", os.environ["HF_TOKEN"])
    ctx.log(json.dumps({"password": ctx.secret("PASSWORD")}))
    file = ctx.secret_file("PASSWORD")
    missing = None
    try:
        ctx.secret("NOTHING")
    except LookupError as error:
        missing = str(error)
    with open(file) as text:
        return [ctx.secret("HF_TOKEN"), ctx.secret("USER"), text.read(), oct(os.stat(file).st_mode & 0o777), missing]
`;
    const { value, lines } = await run(source, { body: "python", entry: "app.py:fn" });
    assert.deepEqual(value, [
      TOKEN,
      "ann",
      PASSWORD,
      "0o400",
      "Cannot find secret value NOTHING: the secrets of this function have HF_TOKEN, PASSWORD, USER",
    ]);
    assert.deepEqual(lines().sort(), ["token [secret hf.HF_TOKEN]", '{"password": "[secret db.PASSWORD]"}']);
  });
});
