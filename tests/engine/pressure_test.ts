import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { command } from "../setup/components/daemon.ts";
import { attempt, hostile } from "../setup/hostile.ts";
import { end, exitOf, failure, ociRunner, onEveryEngine, value, type World } from "../setup/oci_world.ts";
import { tsFunction } from "../setup/runner.ts";
import { until } from "../setup/until.ts";

/** Python that has the socket of its own guest in `host`, and does as it pleases with it. */
const speaking = (...lines: string[]) =>
  `import os, socket, json
def mine():
  for fd in range(3, 100):
    try:
      link = os.readlink(f"/proc/self/fd/{fd}")
      near = socket.socket(fileno=os.dup(fd)) if link.startswith("socket:") else None
      if near and near.family == socket.AF_UNIX and near.getpeername(): return near
    except OSError: pass
def fn(input, ctx):
  host = mine()
${lines.map((line) => `  ${line}\n`).join("")}`;

const MIB = 1024 ** 2;

/** A runner with a bystander, and how much it has grown. */
async function watched(world: World) {
  const runner = await ociRunner(world);
  const bystander = await runner.assign(tsFunction("(n) => n + 1"), { name: "bystander" });
  const lives = async () =>
    assert.equal((await end(runner, runner.api.call("bystander", [1], "fn"))).value, 2);
  const before = Deno.memoryUsage().rss;
  const grownMiB = () => Math.round((Deno.memoryUsage().rss - before) / MIB);
  return { runner, bystander, lives, grownMiB };
}

onEveryEngine("a function that strains its runner", (world) => {
  it("is ended when it speaks without end, while others go on", async () => {
    const { runner, bystander, lives, grownMiB } = await watched(await world());
    await using _ = runner;
    const endless = speaking("while True: host.sendall(b'x' * 1_000_000)");
    runner.api.want(bystander, await runner.assign(endless, { body: "python" }));
    assert.match((await failure(runner, null)).message, /longer than \d+ bytes/);
    await lives();
    assert.ok(grownMiB() < 200, `${grownMiB()} MiB`);
  });

  it("is not read when it doesn't read what it asked for", async () => {
    const { runner, bystander, lives, grownMiB } = await watched(await world());
    await using _ = runner;
    const deaf = speaking(
      "frame = json.dumps({'t': 'fetch', 'n': 1, 'method': 'GET', 'path': '/v1/../' + 'x' * 2000}).encode() + b'\\n'",
      "if os.fork() == 0:",
      "  os.kill(os.getppid(), 19)  # that it reads no more",
      "  while True: host.sendall(frame * 100)",
      "os.wait()",
    );
    runner.api.want(bystander, await runner.assign(deaf, { body: "python", timeout: "2s" }));
    assert.equal((await failure(runner, null)).kind, "timeout");
    await lives();
    assert.ok(grownMiB() < 300, `${grownMiB()} MiB`);
  });

  it("may print as much as it likes, and is told what of it was dropped", async () => {
    const { runner, bystander, lives, grownMiB } = await watched(await world());
    await using _ = runner;
    const loud = speaking("for _ in range(100): os.write(1, b'y' * 999_999 + b'\\n')", "return 'said'");
    runner.api.want(bystander, await runner.assign(loud, { body: "python" }));
    assert.equal(await value(runner, null), "said");
    await lives();
    assert.ok(grownMiB() < 200, `${grownMiB()} MiB`);
    const lines = () => [...runner.api.logs.values()].flat().map((record) => record[5]);
    await until("it is told", () => lines().some((line) => /^Dropped \d+ KiB/.test(line)) || null);
  });

  it("cannot come back to its runner as another, nor fill the disk with the place of its sockets", async () => {
    const here = await world();
    await using runner = await ociRunner(here);
    const [source, spec] = hostile("python");
    runner.api.want(await runner.assign(source, { ...spec, memory: 128 }));
    const [control, kind] = await attempt(runner, [
      { do: "unix", path: "/berth/slot/control.sock" },
      { do: "run", argv: ["stat", "-f", "-c", "%T", "/berth/slot"] },
    ]);
    assert.equal(control![0], false);
    assert.equal(String(kind![1]).trim(), "tmpfs");
    const fill = { do: "run", argv: ["sh", "-c", "cat /dev/zero > /berth/slot/x"] };
    await end(runner, runner.api.call("fn", [[fill]]));
    assert.equal((await exitOf(runner, "ctr_1")).kind, "out_of_memory");
  });

  it("is told no when what it saves would fill the disk of the node", async () => {
    await using runner = await ociRunner(await world());
    const slots = `${runner.dir}/slots`;
    await command("mount", "-t", "tmpfs", "-o", "size=258m", "tmpfs", slots);
    try {
      const saves = `def fn(size, ctx):
  try:
    ctx.checkpoint.save(bytes(size))
    return "saved"
  except Exception as error:
    return str(error)
`;
      runner.api.want(await runner.assign(saves, { body: "python" }));
      assert.equal(await value(runner, 1_000), "saved");
      assert.match(String(await value(runner, 40_000_000)), /the disk of the node is full/);
      assert.equal(await value(runner, 1_000), "saved");
    } finally {
      runner.api.want();
      await command("umount", "--lazy", slots);
    }
  });
});
