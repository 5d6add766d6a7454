import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { end, exitOf, failure, ociRunner, onEveryEngine, value } from "../setup/oci_world.ts";
import { tsFunction } from "../setup/runner.ts";
import { until } from "../setup/until.ts";

/** A Python function whose body is `text`. */
const python = (...lines: string[]) =>
  `import os, subprocess, sys, time\ndef fn(input, ctx):\n${lines.map((line) => `  ${line}\n`).join("")}`;

onEveryEngine("a function in a container", (world) => {
  it("runs TypeScript and Python, and each call has its lines before it ends", async () => {
    await using runner = await ociRunner(await world());
    const linesOf = (batch: number) =>
      (runner.api.logs.get(`${batch}:0`) ?? []).map(([, , , , stream, line]) => `${stream}: ${line}`);
    const lines = (n: number) => Array.from({ length: 50 }, (_, i) => `stdout: ${n} ${i}`);
    const check = async (n: number) => {
      const batch = runner.api.call("fn", [n]);
      assert.equal((await end(runner, batch)).value, n);
      const printed = linesOf(batch);
      assert.deepEqual(printed.filter((line) => line.startsWith("stdout")), lines(n));
      assert.ok(printed.includes(`stderr: bye ${n}`), printed.join());
    };
    const ts =
      `(n) => { for (let i = 0; i < 50; i++) console.log(n, i); console.error("bye", n); return n; }`;
    runner.api.want(await runner.assign(tsFunction(ts)));
    for (let n = 0; n < 5; n++) await check(n);
    const source = python(
      "for i in range(50): print(input, i)",
      'print("bye", input, file=sys.stderr)',
      "return input",
    );
    runner.api.want(await runner.assign(source, { body: "python" }));
    for (let n = 0; n < 5; n++) await check(n);
  });

  it("has no capability, no new privileges, a filter of system calls, and is nobody", async () => {
    await using runner = await ociRunner(await world());
    runner.api.want(
      await runner.assign(python('return open("/proc/self/status").read()'), { body: "python" }),
    );
    const status = String(await value(runner, null));
    const field = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, "m").exec(status)?.[1];
    assert.deepEqual(
      ["CapEff", "CapBnd", "CapPrm", "CapInh", "CapAmb"].map(field),
      Array(5).fill("0".repeat(16)),
    );
    assert.deepEqual([field("NoNewPrivs"), field("Seccomp"), field("Uid")], ["1", "2", "65534"]);
  });

  it("cannot write but to its scratch space, which ends", async () => {
    await using runner = await ociRunner(await world());
    const source = python(
      "try:",
      "  with open(input, 'wb') as file:",
      "    for _ in range(400): file.write(bytes(1_000_000))",
      "  return 'written'",
      "except OSError as error: return error.strerror",
    );
    runner.api.want(await runner.assign(source, { body: "python", memory: 128 }));
    for (
      const path of ["/etc/x", "/x", "/berth/slot/app/x", "/berth/host/sdk/x", "/berth/host/runner/guests/x"]
    ) {
      assert.match(String(await value(runner, path)), /Read-only file system|Permission denied/, path);
    }
    assert.equal(await value(runner, "/tmp/x"), "No space left on device");
  });

  it("has scratch space on disk where it asks for that, of the size that it says", async () => {
    await using runner = await ociRunner(await world());
    const source = python(
      "with open('/tmp/x', 'wb') as file:",
      "  for _ in range(input): file.write(bytes(1_000_000))",
      "time.sleep(1000 if input > 200 else 0)",
      "return os.path.getsize('/tmp/x')",
    );
    runner.api.want(await runner.assign(source, { body: "python", memory: 96, disk: 200 }));
    assert.equal(await value(runner, 150), 150_000_000); // more than its memory
    const { kind, message } = await failure(runner, 250);
    assert.equal(kind, "user_error");
    assert.match(message, /^It used 2\d\d MiB of disk and may use 200 MiB$/);
  });

  it("can fork only so often, and others do not notice", async () => {
    await using runner = await ociRunner(await world());
    const source = python(
      "children = []",
      "try:",
      "  while len(children) < 5000:",
      "    pid = os.fork()",
      "    if pid == 0: time.sleep(1000)",
      "    children.append(pid)",
      "  return 'endless'",
      "except OSError as error: return [error.strerror, len(children)]",
      "finally:",
      "  for pid in children: os.kill(pid, 9); os.waitpid(pid, 0)",
    );
    runner.api.want(await runner.assign(source, { body: "python", memory: 1_024 }));
    const [message, count] = await value(runner, null) as [string, number];
    assert.equal(message, "Resource temporarily unavailable");
    assert.ok(count > 100 && count < 512, `${count}`);
  });

  it("runs out of memory when it takes more than it may, in the guest or beside it", async () => {
    await using runner = await ociRunner(await world());
    const spec = { body: "python", memory: 96 } as const;
    const source = python("kept = []", "while True: kept.append(bytearray(b'x' * 8_000_000))");
    runner.api.want(await runner.assign(source, spec));
    assert.equal((await failure(runner, null)).kind, "out_of_memory");
    assert.equal((await exitOf(runner, "ctr_1")).kind, "out_of_memory");
    runner.api.want(
      await runner.assign(
        tsFunction("() => { const kept = []; for (;;) kept.push(new Uint8Array(8e6).fill(1)); }"),
        { memory: 160 },
      ),
    );
    assert.equal((await failure(runner, null)).kind, "out_of_memory");
  });

  it("is killed when its call takes too long, or was cancelled, and does not end", async () => {
    await using runner = await ociRunner(await world());
    const busy = tsFunction('(n) => { console.log("running"); for (;;); }');
    runner.api.want(await runner.assign(busy, { timeout: "300ms" }));
    assert.equal((await failure(runner, 1)).kind, "timeout");
    assert.equal((await exitOf(runner, "ctr_1")).kind, "timeout");
    runner.api.want(await runner.assign(busy));
    const batch = runner.api.call("fn", [1]);
    await until("it runs", () => runner.api.logs.has(`${batch}:0`) || null);
    runner.api.cancel(batch, 0);
    assert.equal((await until("it has ended", () => runner.api.endOf(batch) ?? null)).outcome, 2);
    assert.equal((await exitOf(runner, "ctr_2")).kind, "cancelled");
  });

  it("tells how it ended when it ends itself", async () => {
    await using runner = await ociRunner(await world());
    runner.api.want(await runner.assign(python("os._exit(3)"), { body: "python" }));
    assert.match((await failure(runner, null)).message, /ended its own process \(exit code 3\)/);
    runner.api.want(await runner.assign(python("os.abort()"), { body: "python" }));
    assert.match((await failure(runner, null)).message, /crashed \(SIGABRT\)/);
    runner.api.want(await runner.assign('throw new Error("not today");'));
    assert.match((await exitOf(runner, "ctr_3")).message, /not today/);
  });
});
