import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Machine } from "../../scheduler/providers/provider.ts";
import { type Deed, reconcile } from "../../scheduler/providers/reconcile.ts";
import type { OpenProvision } from "../../scheduler/store/provisions.ts";

const NOW = 1_000_000;

const provision = (state: OpenProvision["state"], some: Partial<OpenProvision> = {}): OpenProvision => ({
  id: "prov_1",
  pool: "gpu",
  state,
  deadlineAt: new Date(NOW + 1),
  ...some,
});
const machine = (some: Partial<Machine> = {}): Machine => ({
  provision: "prov_1",
  external: "process 7",
  state: "there",
  message: "",
  ...some,
});
const deeds = (open: OpenProvision[], machines: Machine[], isKept = (_pool: string) => true) =>
  reconcile({ open, machines, isKept, now: NOW });
const verb = ({ do: what, ...rest }: Deed): string =>
  "error" in rest ? `${what}${rest.error === null ? "" : `: ${rest.error}`}` : what;

describe("reconcile() of provisions and machines", () => {
  it("knows what to do in every state of both", () => {
    const gone = machine({ state: "gone", message: "no such image" });
    const rows: [OpenProvision["state"], Machine | null, string[]][] = [
      ["requested", null, ["start"]],
      ["requested", machine(), ["adopt"]],
      ["requested", gone, ["end: its machine ended before it joined: no such image"]],
      ["starting", null, ["end: its machine is gone"]],
      ["starting", machine(), []],
      ["starting", gone, ["end: its machine ended before it joined: no such image"]],
      ["joined", null, ["end: its machine is gone"]],
      ["joined", machine(), []],
      ["joined", gone, ["end: its machine ended: no such image"]],
      ["releasing", null, ["end"]],
      ["releasing", machine(), ["stop"]],
      ["releasing", gone, ["stop"]],
    ];
    for (const [state, there, expected] of rows) {
      const found = deeds([provision(state)], there === null ? [] : [there]).map(verb);
      assert.deepEqual(found, expected, `${state} with ${there?.state ?? "nothing"}`);
    }
  });

  it("starts nothing past its deadline: the scheduler gives it up", () => {
    assert.deepEqual(deeds([provision("requested", { deadlineAt: new Date(NOW) })], []), []);
  });

  it("stops what belongs to no provision, whoever keeps the pool", () => {
    assert.deepEqual(deeds([], [machine()], () => false).map(verb), ["stop"]);
  });

  it("leaves provisions of pools alone that somebody else keeps, and their machines", () => {
    for (const state of ["requested", "starting", "joined", "releasing"] as const) {
      assert.deepEqual(deeds([provision(state)], [machine()], () => false), []);
      assert.deepEqual(deeds([provision(state)], [], () => false), []);
    }
  });
});
