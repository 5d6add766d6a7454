/** Secrets from the command line to TypeScript and Python: given, told by none, changed while they run, and out of others' reach. */
import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import type { Container, PageOf } from "../../sdk/protocol.ts";
import { withoutPython } from "../setup/machine.ts";
import { Platform } from "../setup/platform.ts";
import { untilTrue } from "../setup/until.ts";

const PASSWORD = "correct horse battery staple";
const NEWER = "entirely other words than those";

const APP = `
import { App, Secret } from "berth";
const app = new App("vault");
const secrets = [Secret.fromName("db"), Secret.fromName("cert", { files: "/run/secrets" })];
export const reads = app.function({ secrets, scale: { scaledownWindow: "1h" } }, (_: null, ctx) => {
  console.log("with", ctx.secret("PASSWORD"));
  return { env: Deno.env.get("PASSWORD"), file: Deno.readTextFileSync(ctx.secretFile("PEM")), container: ctx.container };
});
export const throws = app.function({ secrets }, (_: null, ctx) => { throw new Error("no " + ctx.secret("PASSWORD")); });
export const slow = app.function({ secrets }, async (ms: number, ctx) => {
  const before = ctx.secret("PASSWORD");
  ctx.report({ started: 1 });
  await new Promise((resolve) => setTimeout(resolve, ms));
  return [before, Deno.env.get("PASSWORD")];
});
export const snake = app.python("app.py:snake", { secrets });
`;
const PYTHON = `
import os

def snake(input, ctx):
    print("with", os.environ["PASSWORD"])
    return [os.environ["PASSWORD"], ctx.secret("PASSWORD"), open(ctx.secret_file("PEM")).read()]
`;
const HOSTILE = `
import { App } from "berth";
export const pries = new App("thief").function({}, (path: string, ctx) => {
  const tried: string[] = [];
  const attempt = (work: () => unknown) => { try { tried.push(String(work())); } catch (error) { tried.push((error as Error).name); } };
  attempt(() => Deno.env.get("PASSWORD"));
  attempt(() => ctx.secret("PASSWORD"));
  attempt(() => Deno.readTextFileSync(path));
  return tried;
});
`;

describe("secrets", () => {
  let platform: Platform;
  before(async () => {
    platform = await Platform.up();
    await set("db", `PASSWORD=${PASSWORD}`);
    const file = `${platform.dir}/cert.pem`;
    await Deno.writeTextFile(file, "the certificate\n");
    await set("cert", `PEM=@${file}`);
    await platform.deploy(APP, "app.ts", { "app.py": PYTHON });
  });
  after(() => platform[Symbol.asyncDispose]());

  const set = async (...args: string[]) => {
    const { code, stdout, stderr } = await platform.berth("secret", "set", ...args);
    assert.equal(code, 0, stderr);
    assert.ok(!stdout.includes(PASSWORD));
  };
  const logOf = async (id: string) =>
    (await platform.all<{ text: string }>(`/v1/calls/${id}/logs`)).map(({ text }) => text);
  const live = async (fn: string) => {
    const path = `/v1/containers?app=vault&function=${fn}&live=true`;
    return (await platform.ask<PageOf<Container>>(path)).body.items;
  };

  it("come as variables, files and by ctx, and leave no trace in logs and failures", async () => {
    const call = await platform.call("vault/reads", null);
    const { container: _, ...rest } = call.result as Record<string, string>;
    assert.deepEqual(rest, { env: PASSWORD, file: "the certificate" });
    assert.deepEqual(await logOf(call.id), ["with [secret db.PASSWORD]"]);
    const failed = await platform.call("vault/throws", null);
    assert.equal(failed.failure!.message, "no [secret db.PASSWORD]");
    assert.ok(!JSON.stringify(failed).includes(PASSWORD));
  });

  it("come to Python too", { skip: withoutPython }, async () => {
    const call = await platform.call("vault/snake", null);
    assert.deepEqual(call.result, [PASSWORD, PASSWORD, "the certificate"]);
    assert.deepEqual(await logOf(call.id), ["with [secret db.PASSWORD]"]);
  });

  it("are out of reach for another app, which cannot even be deployed with one that is not there", async () => {
    await platform.deploy(HOSTILE);
    const { result } = await platform.call("thief/pries", `${platform.dir}/data/secrets.keys`);
    assert.deepEqual(result, ["NotCapable", "TypeError", "NotCapable"]);
    const { code, stderr } = await platform.berth("secret", "rm", "db");
    assert.equal(code, 3);
    assert.match(stderr, /"vault\/reads"/);
    const missing = HOSTILE.replace("import { App }", "import { App, Secret }")
      .replace("function({}", 'function({ secrets: [Secret.fromName("bd")] }');
    await assert.rejects(platform.deploy(missing), /no secret "bd".*did you mean "db"/s);
  });

  it("are changed while calls run: those end with the old value, the next have the new one", async () => {
    const first = (await platform.call("vault/reads", null)).result as { env: string; container: string };
    const path = "/v1/apps/vault/functions/slow/calls";
    const { body } = await platform.post<{ calls: { id: string }[] }>(path, { input: 3_000 });
    const running = body.calls[0]!.id;
    await untilTrue(
      "it runs",
      async () =>
        (await platform.all<{ kind: string }>(`/v1/calls/${running}/events`)).some(({ kind }) =>
          kind === "report"
        ),
    );
    await set("db", `PASSWORD=${NEWER}`);
    await untilTrue(
      "the old container has left",
      async () => (await live("reads")).every(({ id }) => id !== first.container),
    );
    const next = (await platform.call("vault/reads", null)).result as { env: string; container: string };
    assert.equal(next.env, NEWER);
    assert.notEqual(next.container, first.container);
    const slow = await platform.ended(running);
    assert.deepEqual([slow.state, slow.attempt, slow.result], ["succeeded", 1, [PASSWORD, PASSWORD]]);
  });
});
