import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { denoRunner } from "../../sdk/cli/deno_process.ts";
import { realClock } from "../../sdk/ports.ts";
import { AT, failed, platform, succeeded } from "../setup/fake_platform.ts";
import { type Answer, type Asked, berth, json } from "../setup/shell.ts";

describe("deploying", () => {
  const DIGITS = new URL("../fixtures/digits.ts", import.meta.url).pathname;
  const real = {
    cwd: dirname(DIGITS),
    run: denoRunner(realClock),
    env: Deno.env.toObject(),
  };
  const deployments: Answer = (asked) => {
    if (asked.method === "PUT") {
      return json({ digest: asked.path.split("/").at(-1), size: asked.body.length }, 201);
    }
    if (asked.method === "DELETE") return json({ app: asked.path.split("/").at(-1), cancelledCalls: 0 });
    if (!asked.path.endsWith("/deployments")) return platform(succeeded)(asked);
    return json({
      app: asked.path.split("/")[3],
      deployment: "dep_1",
      version: 3,
      bundle: JSON.parse(asked.body).bundle,
      createdAt: AT,
      functions: ["train", "hello"],
      endpoints: [{ name: "hello", url: "http://berth.test/e/digits/hello", auth: "public" }],
    }, 201);
  };
  const steps = (asked: Asked[]) =>
    asked.map(({ method, path }) => `${method} ${path.replace(/[0-9a-f]{64}/, "DIGEST")}`);

  it("uploads the bundle, then deploys it, and prints exactly the agreed JSON", async () => {
    const { code, out, asked } = await berth(
      ["deploy", "digits.ts", "--json", "--no-check"],
      deployments,
      real,
    );
    assert.equal(code, 0);
    assert.deepEqual(steps(asked), ["PUT /v1/bundles/DIGEST", "POST /v1/apps/digits/deployments"]);
    assert.equal(asked[0]!.path.split("/").at(-1), JSON.parse(asked[1]!.body).bundle);
    assert.deepEqual(JSON.parse(out), {
      app: "digits",
      deployment: "dep_1",
      functions: ["train", "hello"],
      endpoints: [{ name: "hello", url: "http://berth.test/e/digits/hello" }],
    });
  });

  it("shows functions, endpoints, schedules and the next step to a person", async () => {
    const { out } = await berth(["deploy", "digits.ts", "--no-check"], deployments, real);
    assert.match(out, /✓ digits version 3 \(dep_1\) deployed in/);
    assert.match(out, /^Digits +class +L4:0\.5 +0\.125 +512 MiB +0–4 +Digits\.classify, Digits\.refresh$/m);
    assert.match(out, /^hello +public +http:\/\/berth\.test\/e\/digits\/hello$/m);
    assert.match(out, /^nightly +0 3 \* \* \* +Asia\/Seoul$/m);
    assert.match(out, /Next: berth call digits\//);
  });

  it("of a broken file asks nothing of the platform and exits with 4", async () => {
    const dir = await Deno.makeTempDir();
    await Deno.writeTextFile(`${dir}/app.ts`, "export const = 1;\n");
    const { code, err, asked } = await berth(["deploy", "app.ts"], deployments, { ...real, cwd: dir });
    assert.deepEqual([code, asked.length], [4, 0]);
    assert.match(err, /error: Cannot bundle app\.ts: [^]* at app\.ts:1:\d+/);
    await Deno.remove(dir, { recursive: true });
  });

  it("for one run uses an app of its own and takes it away", async () => {
    const { code, out, asked } = await berth(
      ["run", "digits.ts:train", "--no-check", "--json"],
      deployments,
      real,
    );
    assert.equal(code, 0);
    assert.equal(JSON.parse(out).state, "succeeded");
    const app = asked[1]!.path.split("/")[3]!;
    assert.match(app, /^digits-run-[0-9a-f]{8}$/);
    assert.equal(asked[2]!.path, `/v1/apps/${app}/functions/train/calls`);
    assert.deepEqual(steps(asked).at(-1), `DELETE /v1/apps/${app}`);
  });

  it("for one run takes the app away when the call fails, too", async () => {
    const answer: Answer = (asked) =>
      /^\/v1\/calls/.test(asked.path) ? platform(failed)(asked) : deployments(asked);
    const { code, asked } = await berth(["run", "digits.ts:train", "--no-check"], answer, real);
    assert.equal(code, 1);
    assert.match(steps(asked).at(-1)!, /^DELETE/);
  });

  it("for one run asks which function when there are several", async () => {
    const { code, err } = await berth(["run", "digits.ts", "--no-check"], deployments, real);
    assert.equal(code, 2);
    assert.match(err, /It has: Digits\.classify, /);
    const wrong = await berth(["run", "digits.ts:trian", "--no-check"], deployments, real);
    assert.match(wrong.err, /it has no function "trian"/);
  });
});
