import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { type Attempt, attempt, hostile } from "../setup/hostile.ts";
import { withoutPython } from "../setup/machine.ts";
import { processes } from "../setup/processes.ts";
import { TestRunner } from "../setup/runner.ts";
import { until, untilTrue } from "../setup/until.ts";

describe("a hostile function in a process", () => {
  it("in TypeScript reaches nothing that it did not declare", async () => {
    await using runner = await TestRunner.start();
    const [source] = hostile("ts");
    runner.api.want(await runner.assign(source));
    const { port } = new URL(runner.api.origin);
    await attempt(runner, []); // it is there then
    const [slot] = [...Deno.readDirSync(`${runner.dir}/slots`)].map(({ name }) =>
      `${runner.dir}/slots/${name}`
    );
    const attempts: Attempt[] = [
      ...["/etc/passwd", `${runner.dir}/bundles`, "/proc/self/environ", "/proc/1/root/etc/passwd"].flatMap((
        path,
      ) => (["read", "list", "writable"] as const).map((what) => ({ do: what, path }))),
      { do: "write", path: "/tmp/x", text: "" },
      { do: "write", path: `${slot}/app/app.js`, text: "" },
      { do: "symlink", from: "/tmp/x", to: "/etc/passwd" },
      { do: "link", from: "/tmp/x", to: "/etc/passwd" },
      { do: "unix", path: "/var/run/docker.sock" },
      { do: "unix", path: `${slot}/control.sock` },
      { do: "run", argv: ["true"] },
      { do: "call", n: 39, args: [] },
    ];
    const outcomes = await attempt(runner, attempts);
    assert.deepEqual(attempts.filter((_, i) => outcomes[i]![0]), []);
    assert.ok(outcomes.every(([, why]) => /NotCapable/.test(String(why))), JSON.stringify(outcomes));
    const [connected] = await attempt(runner, [{ do: "connect", host: "127.0.0.1", ports: [Number(port)] }]);
    assert.deepEqual(connected, [true, []]);
  });

  it("in Python is who its runner is, and does not outlive its cancel by ignoring it", {
    skip: withoutPython,
  }, async () => {
    await using runner = await TestRunner.start();
    const [source, spec] = hostile("python");
    runner.api.want(await runner.assign(source, spec));
    // What README.md says of it: nothing is kept from it.
    const [listed] = await attempt(runner, [{ do: "list", path: runner.dir }]);
    assert.equal(listed![0], true);
    const mark = `9${Math.floor(Math.random() * 1e8)}`;
    const deaf = `trap "" TERM INT HUP; sleep ${mark} & sleep ${mark}`;
    const batch = runner.api.call("fn", [[{
      do: "run",
      argv: ["sh", "-c", `(setsid sh -c '${deaf}' &); ${deaf}`],
    }]]);
    const sleepers = () => processes().filter(({ command }) => command === `sleep ${mark}`);
    await untilTrue("they run", () => sleepers().length === 4);
    runner.api.cancel(batch, 0);
    assert.equal((await until("it has ended", () => runner.api.endOf(batch) ?? null)).outcome, 2);
    await untilTrue("they are gone", () => sleepers().length === 0);
  });
});
