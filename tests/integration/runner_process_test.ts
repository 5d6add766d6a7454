import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { assignmentOf, tsFunction } from "../setup/runner.ts";
import { MAIN, RunnerProcess } from "../setup/runner_process.ts";
import { until, untilTrue } from "../setup/until.ts";

/** Guests of a data folder: their slots are in their environment. */
function guestsOf(data: string): number[] {
  return [...Deno.readDirSync("/proc")].flatMap(({ name }) => {
    try {
      const mine = Deno.readTextFileSync(`/proc/${name}/environ`).includes(`BERTH_SLOT=${data}/slots/`);
      return mine && Deno.readTextFileSync(`/proc/${name}/cmdline`) !== "" ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

const POOL = ["--pool-size", "1"];
const joined = (runner: RunnerProcess) =>
  untilTrue("the runner has joined", () => runner.api.joins.length > 0);

describe("runner/main.ts", () => {
  it("joins with its token once, later with the credential that nobody else can read", async () => {
    await using runner = await RunnerProcess.start(...POOL, "--simulate-gpus", "2xH100:80GiB");
    await joined(runner);
    assert.equal(runner.api.joins[0]!.token, "join_token");
    assert.equal(runner.api.joins[0]!.gpus.length, 2);
    const { mode } = await until(
      "the credential is kept",
      () => Deno.stat(`${runner.data}/node.json`).catch(() => null),
    );
    assert.equal(mode! & 0o777, 0o600);
    Deno.kill(runner.pid, "SIGKILL");
    await runner.status;
    await runner.restart();
    assert.equal(runner.api.joins[1]!.token, "credential");
    assert.notEqual(runner.api.joins[1]!.session, runner.api.joins[0]!.session);
  });

  it("SIGTERM: ends its guests, exits with 0", async () => {
    await using runner = await RunnerProcess.start(...POOL);
    await joined(runner);
    runner.api.want(await assignmentOf(runner.api, "ctr_1", tsFunction("() => 1")));
    await untilTrue("the container is ready", () => runner.api.observed.get("ctr_1")?.observed === "ready");
    Deno.kill(runner.pid, "SIGTERM");
    assert.equal((await runner.status).code, 0);
    await untilTrue("what it has killed is gone", () => guestsOf(runner.data).length === 0);
    assert.equal(runner.api.observed.get("ctr_1")?.exit?.kind, "stopped");
  });

  it("kill -9: its guests leave by themselves, or the next runner ends them", async () => {
    await using runner = await RunnerProcess.start(...POOL);
    await joined(runner);
    const source = tsFunction("() => { for (;;); }");
    runner.api.want(await assignmentOf(runner.api, "ctr_1", source));
    const batch = runner.api.call("fn", [0]);
    await untilTrue("it has started", () => runner.api.events.has(`${batch}:0`));
    const before = guestsOf(runner.data);
    assert.ok(before.length > 0);
    Deno.kill(runner.pid, "SIGKILL");
    await runner.status;
    runner.api.want();
    await runner.restart();
    await untilTrue(
      "the old guests are gone",
      () => !guestsOf(runner.data).some((pid) => before.includes(pid)),
    );
  });

  it("the newest runner of a data folder is the only one", async () => {
    await using runner = await RunnerProcess.start(...POOL);
    await joined(runner);
    const first = runner.status;
    await runner.restart();
    assert.equal((await first).signal, "SIGKILL");
  });

  it("refuses to start with nonsense, naming the option", async () => {
    const data = await Deno.makeTempDir();
    const refusals: [string[], RegExp][] = [
      [["--simulate-gpus", "8 big ones"], /option --simulate-gpus: Cannot read GPUs "8 big ones"/],
      [["--host-ports", "5432,http"], /option --host-ports: must be numbers from 1 to 65535/],
      [
        ["--container-addresses", "10.0.0.1/20"],
        /option --container-addresses: must be ADDRESS\/BITS, such as 10\.77\.0\.0\/20, with 8 to 28 bits; or none/,
      ],
      [
        ["--oci-socket", "/nowhere.sock", "--engine-wait-ms", "0"],
        /Cannot start the runner: no container engine answers at \/nowhere.sock: No such file/,
      ],
    ];
    await Promise.all(refusals.map(async ([flags, reason]) => {
      const args = [
        "run",
        "-A",
        MAIN,
        "--api",
        "http://127.0.0.1:1",
        "--data",
        `${data}/${flags[0]}`,
        ...flags,
      ];
      const { code, stderr } = await new Deno.Command(Deno.execPath(), { args, stdin: "null" }).output();
      assert.notEqual(code, 0);
      assert.match(new TextDecoder().decode(stderr), reason);
    }));
    await Deno.remove(data, { recursive: true });
  });
});
