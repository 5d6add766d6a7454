import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Container, PageOf } from "../../sdk/protocol.ts";
import { imageOf } from "../setup/components/registry.ts";
import {
  containerOf,
  envOf,
  feed,
  keptOf,
  looksInto,
  losesNothing,
  openShell,
  sleepersIn,
  slowClient,
} from "../setup/inside.ts";
import { onEveryEngine, type World } from "../setup/oci_world.ts";
import { CLI, Platform } from "../setup/platform.ts";
import { until, untilTrue } from "../setup/until.ts";

const app = ({ registry }: World) => `
  import { App } from "berth";
  const app = new App("inside");
  export const web = app.server({
    image: "${imageOf(registry.host, "python")}", command: ["python3", "-m", "http.server", "$PORT"],
    auth: "public", env: { GREETING: "hello" }, gpu: "L4", scale: { min: 1 }, startTimeout: "2m",
  });
  export const kept = app.python("left.py:left", {
    image: "${
  imageOf(registry.host, "python")
}", keepOnFailure: "1h", startTimeout: "2m", env: { GREETING: "hello" },
  });`;

const NEVER = new Promise(() => {});

const LEFT = `import os
def left(_):
  with open("/tmp/left.txt", "w") as file: file.write("traces")
  os._exit(3)
`;

onEveryEngine("looking into containers of an engine", (world) => {
  it("exec, shell and cp work as with processes", async () => {
    const here = await world();
    await using platform = await Platform.up({
      simulateGpus: "1xL4:24GiB",
      env: { BERTH_ENGINE: "auto", BERTH_OCI_SOCKET: here.at.socket },
    });
    await platform.deploy(app(here), "app.ts", { "left.py": LEFT });
    const id = await until("it is ready", async () => {
      const { body } = await platform.ask<PageOf<Container>>("/v1/containers?app=inside&live=true");
      return body.items.find(({ observed }) => observed === "ready")?.id ?? null;
    }, 120_000);
    await exec(platform, id);
    await losesNothing(platform, id, here.at.name === "docker" ? 1_600_000 : 1_200_000);
    await ends(platform, id);
    await shell(platform, id);
    await copies(platform, id);
    await looksInto(platform, await keptOf(platform, "inside/kept"), "/tmp");
    const running = platform.berth("exec", id, "--", "sleep", "300");
    await untilTrue("it runs", () => sleepersIn(platform.dir).length === 1);
    const { channel, begun } = await slowClient(platform, id, ["head", "-c", "8000000", "/dev/zero"], NEVER);
    await begun;
    await platform.fetch("/v1/apps/inside", { method: "DELETE" });
    assert.notEqual((await running).code, 0);
    await untilTrue("it is gone", () => sleepersIn(platform.dir).length === 0);
    await untilTrue("its container too", async () => (await containerOf(platform, id)).exitedAt !== null);
    channel.close();
  });
});

async function exec(platform: Platform, id: string): Promise<void> {
  const script = 'echo "$GREETING $CUDA_VISIBLE_DEVICES $(pwd) $(id -u)"; echo careful >&2; exit 7';
  const { code, stdout, stderr } = await platform.berth("exec", id, "--", "sh", "-c", script);
  assert.deepEqual([code, stdout, stderr], [7, "hello 0 /berth/slot/app 65534\n", "careful\n"]);
  assert.equal((await feed(platform, "one\ntwo\n", "exec", "-i", id, "--", "wc", "-l")).stdout.trim(), "2");
  const much = await platform.berth("exec", id, "--", "sh", "-c", "head -c 8000000 /dev/zero");
  assert.deepEqual([much.code, much.stdout.length], [0, 8_000_000], much.stderr);
  const missing = await platform.berth("exec", id, "--", "no-such-program");
  assert.notEqual(missing.code, 0);
  assert.match(missing.stdout + missing.stderr, /no-such-program.*not found/s);
  const left = await platform.berth("exec", id, "--", "sh", "-c", "sleep 300 & echo begun");
  assert.deepEqual([left.code, left.stdout], [0, "begun\n"]);
  await untilTrue("what it left is gone", () => sleepersIn(platform.dir).length === 0);
}

/** A command and what it started end when its client goes. */
async function ends(platform: Platform, id: string): Promise<void> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", CLI, "exec", id, "--", "sh", "-c", "sleep 300 & exec sleep 301"],
    env: envOf(platform),
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  await untilTrue("it runs", () => sleepersIn(platform.dir).length >= 2);
  child.kill("SIGKILL");
  await child.status;
  await untilTrue("it is gone", () => sleepersIn(platform.dir).length === 0);
}

async function shell(platform: Platform, id: string): Promise<void> {
  await using shell = openShell(platform, id);
  const { seen, type } = shell;
  await type("test -t 0 && stty size; echo $GREETING-$TERM\r");
  await seen.until("33 91");
  await seen.until("hello-xterm");
  await type("sleep 100\r");
  await untilTrue("it sleeps", () => sleepersIn(platform.dir).length === 1);
  await type("\x03");
  await untilTrue("Ctrl-C has ended it", () => sleepersIn(platform.dir).length === 0);
  await type("exit 5\r");
  assert.equal(await shell.code, 5);
}

async function copies(platform: Platform, id: string): Promise<void> {
  const here = await Deno.makeTempDir({ dir: platform.dir });
  const bytes = new Uint8Array(5_000_000).map((_, i) => i % 251);
  await Deno.mkdir(join(here, "tree/deep"), { recursive: true });
  await Deno.writeFile(join(here, "tree/deep/blob"), bytes);
  const copy = async (...args: string[]) => {
    const { code, stderr } = await platform.berth("cp", ...args);
    assert.equal(code, 0, stderr);
  };
  await copy(join(here, "tree"), `${id}:/tmp`);
  await copy(`inside/web:/tmp/tree`, join(here, "copied"));
  assert.deepEqual(await Deno.readFile(join(here, "copied/deep/blob")), bytes);
  const refused = await platform.berth("cp", join(here, "tree/deep/blob"), `${id}:/etc/blob`);
  // Podman loses what a command says that ends while it is written to.
  assert.match(refused.stderr, /Cannot copy: .*(Read-only|reset by peer)/);
}
