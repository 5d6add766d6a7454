import { after, before, describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Container, PageOf } from "../../sdk/protocol.ts";
import {
  containerOf,
  envOf,
  feed,
  keptOf,
  leftIn,
  looksInto,
  losesNothing,
  openShell,
  sleepersIn,
} from "../setup/inside.ts";
import { CLI, Platform } from "../setup/platform.ts";
import { partsOf } from "../setup/processes.ts";
import { untilTrue } from "../setup/until.ts";

const APP = `
  import { App } from "berth";
  const app = new App("inside");
  export const web = app.server({
    command: [${
  JSON.stringify(Deno.execPath())
}, "run", "-A", "--no-config", "server.ts"], files: ["server.ts"],
    auth: "public", env: { GREETING: "hello" }, gpu: "L4", scale: { min: 1 },
  });
  const broken = () => {
    Deno.writeTextFileSync(import.meta.dirname + "/left.txt", "traces");
    Deno.exit(3);
  };
  const failing = { permissions: { write: true }, env: { GREETING: "hello" } };
  export const kept = app.function({ ...failing, keepOnFailure: "1h" }, broken);
  export const brief = app.function({ ...failing, keepOnFailure: "1s" }, broken);
  export const slow = app.function({}, () => new Promise((done) => setTimeout(done, 60_000)));`;
const SERVER = `
  Deno.serve({ hostname: "127.0.0.1", port: Number(Deno.env.get("PORT")) }, () => new Response("ok"));`;

describe("looking into containers", () => {
  let platform: Platform;
  let id: string;
  before(async () => {
    platform = await Platform.up({ simulateGpus: "1xL4:24GiB" });
    const { endpoints } = await platform.deploy(APP, "app.ts", { "server.ts": SERVER });
    await (await fetch(endpoints[0]!.url)).text();
    const { body } = await platform.ask<PageOf<Container>>("/v1/containers?app=inside&live=true");
    id = body.items[0]!.id;
  });
  after(() => platform[Symbol.asyncDispose]());

  const sleepers = () => sleepersIn(platform.dir);
  const env = () => envOf(platform);

  it("exec runs a command in the container's own surroundings, and ends with its code", async () => {
    const script = 'echo "$GREETING $CUDA_VISIBLE_DEVICES $(ls)"; echo careful >&2; exit 7';
    const { code, stdout, stderr } = await platform.berth("exec", id, "--", "sh", "-c", script);
    assert.deepEqual([code, stdout, stderr], [7, "hello 0 app.js\nserver.ts\n", "careful\n"]);
    const json = await platform.berth("exec", "--json", "inside/web", "--", "echo", "--json");
    assert.deepEqual(JSON.parse(json.stdout), { code: 0, signal: null, stdout: "--json\n", stderr: "" });
  });

  it("exec passes stdin on, and bytes as they are", async () => {
    const { stdout } = await feed(platform, "one\ntwo\n", "exec", "-i", id, "--", "wc", "-l");
    assert.equal(stdout.trim(), "2");
  });

  it("exec holds a command up whose reader is slow, and loses nothing of 8 MB", async () => {
    const much = await platform.berth("exec", id, "--", "sh", "-c", "head -c 8000000 /dev/zero");
    assert.deepEqual([much.code, much.stdout.length], [0, 8_000_000], much.stderr);
    await losesNothing(platform, id, 1_100_000);
  });

  it("exec says what is wrong", async () => {
    const missing = await platform.berth("exec", id, "--", "no-such-program");
    assert.equal(missing.code, 3);
    assert.match(missing.stderr, /Cannot run "no-such-program": there is no such program/);
    const unknown = await platform.berth("exec", "ctr_unknown", "--", "true");
    assert.match(unknown.stderr, /Cannot find container "ctr_unknown"/);
    const nothing = await platform.berth("exec", "inside/nothing", "--", "true");
    assert.match(nothing.stderr, /Cannot find a container of inside\/nothing: none runs/);
  });

  it("exec and what it started end when its client goes", async () => {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", CLI, "exec", id, "--", "sh", "-c", "sleep 300 & exec sleep 301"],
      env: env(),
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    await untilTrue("it runs", () => sleepers().length >= 2);
    child.kill("SIGKILL");
    await child.status;
    await untilTrue("it is gone", () => sleepers().length === 0);
  });

  it("shell has a terminal: keys, colours, its size, Ctrl-D", async () => {
    await using shell = openShell(platform, id);
    const { seen, type } = shell;
    await type("test -t 0 && stty size; echo $GREETING-$TERM\r");
    await seen.until("33 91");
    await seen.until("hello-xterm");
    await type("sleep 100\r");
    await untilTrue("it sleeps", () => sleepers().length === 1);
    await type("\x03");
    await untilTrue("Ctrl-C has ended it", () => sleepers().length === 0);
    await type("echo $?\r");
    await seen.until("\r130\r");
    await type("exit 5\r");
    assert.equal(await shell.code, 5);
  });

  it("shell reads commands where there is no terminal, and finds the container of a call", async () => {
    const { body } = await platform.post<{ calls: { id: string }[] }>(
      "/v1/apps/inside/functions/slow/calls",
      { input: null },
    );
    const call = body.calls[0]!.id;
    await untilTrue(
      "it runs",
      async () => (await platform.ask(`/v1/calls/${call}`)).body.state === "running",
    );
    const { code, stdout, stderr } = await feed(platform, "ls\nexit 3\n", "shell", call);
    assert.deepEqual([code, stdout], [3, "app.js\nserver.ts\n"], stderr);
    await platform.post(`/v1/calls/${call}/cancel`, {});
    const ended = await untilEnded(platform, call);
    assert.match(ended, /Cannot find the container of call_.*: the call does not run/);
  });

  it("cp copies files and folders both ways", async () => {
    const here = await Deno.makeTempDir({ dir: platform.dir });
    const bytes = new Uint8Array(5_000_000).map((_, i) => i % 251);
    await Deno.mkdir(join(here, "tree/deep"), { recursive: true });
    await Deno.writeFile(join(here, "tree/deep/blob"), bytes);
    await Deno.writeTextFile(join(here, "note.txt"), "a note\n");
    const copy = async (...args: string[]) => {
      const { code, stderr } = await platform.berth("cp", ...args);
      assert.equal(code, 0, stderr);
      return stderr;
    };
    await copy(join(here, "note.txt"), `${id}:renamed.txt`);
    assert.match(await copy(`${id}:renamed.txt`, join(here, "back.txt")), /Copied 7 bytes/);
    assert.equal(await Deno.readTextFile(join(here, "back.txt")), "a note\n");
    await copy(join(here, "tree"), `inside/web:.`);
    await copy(`${id}:tree`, join(here, "copied"));
    assert.deepEqual(await Deno.readFile(join(here, "copied/deep/blob")), bytes);
    const missing = await platform.berth("cp", `${id}:nothing`, join(here, "x"));
    assert.match(missing.stderr, /Cannot copy: .*nothing: No such file/);
    assert.equal(await Deno.stat(join(here, "x")).catch(() => null), null);
    assert.equal((await platform.berth("cp", "a", "b")).code, 2);
  });

  it("a container that failed is kept where its function asks for that, until it is removed or its time is over", async () => {
    const failed = await keptOf(platform, "inside/kept");
    await looksInto(platform, failed, ".");
    const brief = await keptOf(platform, "inside/brief");
    await untilTrue("its time is over", async () => (await containerOf(platform, brief)).keptUntil === null);
    assert.match((await platform.berth("shell", "inside/brief")).stderr, /Cannot find a container/);
    const live = await platform.berth("containers", "rm", id);
    assert.match(live.stderr, /Cannot remove container .*: it is ready/);
    await untilTrue("its files are gone", () => leftIn(platform.dir).length === 0);
  });

  it("needs a key of scope deploy, of the container's workspace", async () => {
    const { body } = await platform.post<{ key: string }>("/v1/keys", { name: "caller", scope: "invoke" });
    const refused = async (key: string) => {
      const socket = new WebSocket(`${platform.url.replace("http:", "ws:")}/v1/containers/${id}/exec`, {
        headers: { authorization: `Bearer ${key}` },
      });
      return await new Promise<boolean>((resolve) => {
        socket.onopen = () => resolve(false);
        socket.onerror = () => resolve(true);
      });
    };
    assert.equal(await refused(body.key), true);
    assert.equal(await refused("berth_nonsense"), true);
    const plain = await platform.ask<{ error: { code: string } }>(`/v1/containers/${id}/exec`);
    assert.deepEqual([plain.status, plain.body.error.code], [400, "invalid_request"]);
  });

  it("ends with the container", async () => {
    const running = platform.berth("exec", id, "--", "sleep", "300");
    await untilTrue("it runs", () => sleepers().length === 1);
    await platform.fetch("/v1/apps/inside", { method: "DELETE" });
    const { code, stderr } = await running;
    assert.ok(code !== 0, stderr);
    await untilTrue("it is gone", () => sleepers().length === 0);
    assert.match((await platform.berth("exec", id, "--", "true")).stderr, /it has ended/);
  });

  it("nothing is kept of what a runner had that was killed", async () => {
    await platform.deploy(APP, "app.ts", { "server.ts": SERVER });
    const failed = await keptOf(platform, "inside/kept");
    const [runner] = partsOf(platform.pid).runner;
    Deno.kill(runner!, "SIGKILL");
    await untilTrue("it is noticed", async () => (await containerOf(platform, failed)).keptUntil === null);
    await untilTrue("its files are gone", () => leftIn(platform.dir).length === 0);
  });
});

/** What the command line says to a shell in a call that has ended. */
async function untilEnded(platform: Platform, call: string): Promise<string> {
  await platform.ended(call);
  return (await platform.berth("shell", call)).stderr;
}
