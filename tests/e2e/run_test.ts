import { after, before, describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { join } from "node:path";
import { Platform } from "../setup/platform.ts";

const APP = `
import { App } from "berth";
const app = new App("sums");
export const double = app.function({}, (n: number, ctx) => { ctx.log("doubling", { n }); return 2 * n; });
export const quadruple = app.function({}, async (n: number) => 2 * await double.remote(n));
export const fails = app.function({}, () => { throw new Error("no sum"); });
export const never = app.function({}, (_: null, ctx) => new Promise((_, reject) => {
  ctx.log("waiting");
  ctx.signal.addEventListener("abort", () => reject(new Error("told to stop")));
}));
`;

describe("the command line against a platform", () => {
  let platform: Platform;
  let file: string;
  before(async () => {
    platform = await Platform.up();
    file = join(platform.dir, "sums.ts");
    await Deno.writeTextFile(file, APP);
  });
  after(() => platform[Symbol.asyncDispose]());

  const apps = async () => JSON.parse((await platform.berth("apps", "--json")).stdout).items;

  it("runs a function that calls its neighbour, and leaves no app behind", async () => {
    const ran = await platform.berth("run", `${file}:quadruple`, "--input", "4", "--json");
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(JSON.parse(ran.stdout).result, 16);
    assert.deepEqual(await apps(), []);
  });

  it("shows what a run printed, and why it failed", async () => {
    const ran = await platform.berth("run", `${file}:double`, "--input", "4", "--no-check");
    assert.match(ran.stderr, /doubling.*4/);
    assert.equal(ran.stdout, "8\n");
    const failed = await platform.berth("run", `${file}:fails`, "--no-check");
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /user_error: no sum\n\s+at .*sums\.ts:6/);
    assert.deepEqual(await apps(), []);
  });

  it("deploys under another name, under which the functions find each other", async () => {
    const deployed = await platform.berth("deploy", file, "--name", "other", "--json", "--no-check");
    assert.equal(JSON.parse(deployed.stdout).app, "other");
    const called = await platform.berth("call", "other/quadruple", "--input", "5", "--json");
    assert.equal(JSON.parse(called.stdout).result, 20);
    const calls = JSON.parse((await platform.berth("calls", "--app", "other", "--json")).stdout).items;
    assert.deepEqual(calls.map((call: { function: string }) => call.function), ["double", "quadruple"]);
    assert.equal((await platform.berth("delete", "other")).code, 0);
  });

  it("cancels a call that runs, which ends the logs that are followed", async () => {
    await platform.berth("deploy", file, "--no-check");
    const { stdout } = await platform.berth("call", "sums/never", "--no-wait", "--json");
    const { id } = JSON.parse(stdout);
    const following = platform.berth("logs", "-f", id);
    const cancelled = await platform.berth("cancel", id, "--json");
    assert.equal(cancelled.code, 0);
    assert.equal((await following).code, 0);
    assert.equal((await platform.ended(id)).state, "cancelled");
  });
});
