import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Spawn } from "../../runner/engine.ts";
import { GpuHealth, parseDrill, parseXid } from "../../runner/gpu_health.ts";
import { silentLog } from "../../sdk/ports.ts";
import type { Gpu } from "../../sdk/protocol.ts";
import { ManualClock } from "../setup/manual_clock.ts";

const gpu = (index: number, simulated = false): Gpu => ({
  index,
  model: "H100",
  vramMiB: 81_559,
  uuid: `GPU-${index}`,
  simulated,
});

type Output = { code: number; stdout: string; stderr: string };
const said = (stdout: string, code = 0): Output => ({ code, stdout, stderr: "" });

/** One line of nvidia-smi for a GPU, in the order of the fields that are asked for. */
const line = (index: number, some: Readonly<Record<string, string>> = {}) => (fields: readonly string[]) =>
  fields.map((field) =>
    some[field] ??
      ({ index: String(index), uuid: `GPU-${index}`, "pci.bus_id": `00000000:${index}B:00.0` })[field] ??
      (field.startsWith("ecc") ? "0" : field === "gpu_recovery_action" ? "None" : "No")
  ).join(", ");
type Line = ReturnType<typeof line>;

/** A machine whose nvidia-smi and dmesg say what the test wants. */
function setup(
  gpus: readonly Gpu[],
  {
    smi = (_fields: readonly string[]): Output | Promise<Output> => said(""),
    dmesg = () => said("", 1),
    drill = "",
  } = {},
) {
  const clock = new ManualClock();
  const state = { smi, dmesg, drill, asked: 0, changes: 0 };
  const spawn = {
    output: ({ command, args }: { command: string; args: readonly string[] }) => {
      if (command === "dmesg") return Promise.resolve(state.dmesg());
      state.asked++;
      return Promise.resolve(state.smi(/--query-gpu=(.*)/.exec(args[0]!)![1]!.split(",")));
    },
  } as unknown as Spawn;
  const health = new GpuHealth({
    gpus,
    spawn,
    drill: () => Promise.resolve(state.drill),
    clock,
    log: silentLog,
  });
  const over = new AbortController();
  const watching = health.watch(over.signal, () => state.changes++);
  return {
    state,
    clock,
    ails: () => health.ailing.map(({ index, ailment }) => `${index}: ${ailment}`),
    [Symbol.asyncDispose]: async () => {
      over.abort();
      await watching;
    },
  };
}
const smiOf = (...lines: Line[]) => (fields: readonly string[]) =>
  said(lines.map((one) => one(fields)).join("\n"));

describe("GpuHealth", () => {
  it("finds nothing wrong with well GPUs, whatever they do not support", async () => {
    await using world = setup([gpu(0), gpu(1)], {
      smi: smiOf(line(0), line(1, { "retired_pages.pending": "[N/A]", "gpu_recovery_action": "[N/A]" })),
    });
    await world.clock.advance(1);
    assert.deepEqual(world.ails(), []);
    assert.equal(world.state.changes, 0);
  });

  it("finds each symptom, and that it is gone", async () => {
    const symptoms: [string, string, RegExp][] = [
      ["ecc.errors.uncorrected.volatile.total", "2", /uncorrectable ECC errors \(.*: 2\)/],
      ["retired_pages.pending", "Yes", /wait to be retired/],
      ["remapped_rows.pending", "Yes", /wait to be remapped/],
      ["remapped_rows.failure", "Yes", /could not be remapped/],
      ["gpu_recovery_action", "Reset", /asks for an action \(gpu_recovery_action: Reset\)/],
    ];
    for (const [field, value, ailment] of symptoms) {
      await using world = setup([gpu(0), gpu(1)], { smi: smiOf(line(0), line(1, { [field]: value })) });
      await world.clock.advance(1);
      assert.match(world.ails().join(), new RegExp(`^1: .*${ailment.source}`));
      world.state.smi = smiOf(line(0), line(1));
      await world.clock.advance(40_000);
      assert.deepEqual([world.ails(), world.state.changes], [[], 2]);
    }
  });

  it("does without fields that the driver does not know", async () => {
    const old = (fields: readonly string[]) => {
      const unknown = fields.find((field) => field.startsWith("remapped") || field.startsWith("gpu_rec"));
      return unknown === undefined
        ? smiOf(line(0, { "retired_pages.pending": "Yes" }))(fields)
        : said(`Field "${unknown}" is not a valid field to query.`, 2);
    };
    await using world = setup([gpu(0)], { smi: old });
    await world.clock.advance(1);
    assert.match(world.ails().join(), /^0: memory pages/);
  });

  it("tells a GPU that is no longer listed from those that are counted anew", async () => {
    await using world = setup([gpu(0), gpu(1)], { smi: smiOf(line(0, { uuid: "GPU-1" })) });
    await world.clock.advance(1);
    assert.deepEqual(world.ails(), ["0: nvidia-smi no longer lists it"]);
  });

  it("takes all GPUs out when nvidia-smi hangs", async () => {
    await using world = setup([gpu(0), gpu(1)], { smi: () => new Promise<Output>(() => {}) });
    await world.clock.advance(60_000);
    assert.deepEqual(world.ails(), ["0: nvidia-smi does not answer", "1: nvidia-smi does not answer"]);
  });

  it("hears of Xids that came since the start, and remembers them", async () => {
    const xid = (n: number, at: number) => `[${at}.0] NVRM: Xid (PCI:0000:1b:00): ${n}, pid=7, name=python3`;
    await using world = setup([gpu(0), gpu(1)], {
      smi: smiOf(line(0), line(1)),
      dmesg: () => said(xid(79, 1)),
    });
    await world.clock.advance(31_000);
    assert.deepEqual(world.ails(), [], "what was there may be from before a reset");
    world.state.dmesg = () => said([xid(79, 1), xid(31, 2), xid(48, 3)].join("\n"));
    await world.clock.advance(31_000);
    assert.deepEqual(world.ails(), ["1: Xid 48: double-bit ECC error"]);
    world.state.dmesg = () => said("");
    await world.clock.advance(31_000);
    assert.deepEqual(world.ails(), ["1: Xid 48: double-bit ECC error"]);
  });

  it("does as a drill says, for simulated GPUs too, and asks nobody about those", async () => {
    await using world = setup([gpu(0, true), gpu(1, true)], {
      drill: "1 it smokes\nnonsense\n9 there is none\n",
    });
    await world.clock.advance(1);
    assert.deepEqual([world.ails(), world.state.asked], [["1: it smokes"], 0]);
    world.state.drill = "";
    await world.clock.advance(1_000);
    assert.deepEqual(world.ails(), []);
  });

  it("asks nvidia-smi every 30 s, not more often", async () => {
    await using world = setup([gpu(0)], { smi: smiOf(line(0)) });
    await world.clock.advance(61_000);
    assert.equal(world.state.asked, 3);
  });
});

describe("parseDrill()", () => {
  it("reads indexes with what ails them", () => {
    assert.deepEqual(parseDrill("0\n 2  hot \n\nx"), [
      { index: 0, ailment: "said to fail" },
      { index: 2, ailment: "hot" },
    ]);
  });
});

describe("parseXid()", () => {
  it("knows the fatal ones, and the GPU by its bus", () => {
    const states = [{ index: "3", "pci.bus_id": "00000000:3B:00.0" }];
    const of = (xid: number, bus = "0000:3b:00") =>
      parseXid(`[1.2] NVRM: Xid (PCI:${bus}): ${xid}, GPU`, states);
    assert.deepEqual(of(79), [{ index: 3, ailment: "Xid 79: it has fallen off the bus" }]);
    assert.deepEqual(of(13), []);
    assert.deepEqual(of(79, "0000:5e:00"), []);
  });
});
