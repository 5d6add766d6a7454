import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { CallContext, containerContext } from "../../sdk/context.ts";
import { localOutlet } from "../../sdk/local.ts";
import { App, Secret } from "../../sdk/mod.ts";
import { describeModule } from "../../sdk/describe.ts";
import { Manifest } from "../../sdk/protocol.ts";
import { secretEnv, secretValues } from "../../runner/secrets.ts";

const CONTAINER = {
  app: "a",
  function: "f",
  container: "ctr_1",
  secrets: new Map([["TOKEN", { value: "t" }], ["PEM", { value: "p", file: "/run/secrets/PEM" }]]),
};
const signal = new AbortController().signal;
const contexts = (container: typeof CONTAINER | Omit<typeof CONTAINER, "secrets">) => [
  new CallContext(container, { number: 1, id: "call_1", attempt: 1 }, localOutlet),
  containerContext(container, { outlet: localOutlet, signal, write: () => {} }),
];

describe("Secret.fromName()", () => {
  it("is deployed as what a function is given", () => {
    const app = new App("demo");
    const secrets = [Secret.fromName("hf"), Secret.fromName("db", { files: "/run/secrets" })];
    const { manifest } = describeModule({
      f: app.function({ secrets }, () => 1),
      g: app.function({}, () => 1),
    });
    const [f, g] = Manifest.parse(manifest).functions;
    assert.deepEqual(f!.secrets, [
      { name: "hf", as: "env" },
      { name: "db", as: "files", path: "/run/secrets" },
    ]);
    assert.deepEqual(g!.secrets, []);
  });

  it("refuses what is no name", () => {
    assert.throws(() => Secret.fromName(""), /expected a text/);
  });
});

describe("ctx.secret() and ctx.secretFile()", () => {
  it("give a value and its file", () => {
    for (const ctx of contexts(CONTAINER)) {
      assert.deepEqual([ctx.secret("TOKEN"), ctx.secret("PEM")], ["t", "p"]);
      assert.equal(ctx.secretFile("PEM"), "/run/secrets/PEM");
    }
  });

  it("name the keys there are when one is missing, and no value", () => {
    for (const ctx of contexts(CONTAINER)) {
      assert.throws(() => ctx.secret("TOKN"), /"TOKN": the secrets of this function have TOKEN, PEM$/);
      assert.throws(() => ctx.secretFile("TOKEN"), /comes as variables/);
    }
    const { secrets: _, ...none } = CONTAINER;
    for (const ctx of contexts(none)) assert.throws(() => ctx.secret("TOKEN"), /given no secrets$/);
  });

  it("don't show when a context is printed", () => {
    for (const ctx of contexts(CONTAINER)) assert.ok(!JSON.stringify(ctx).includes("/run/secrets"));
  });
});

describe("secretEnv() and secretValues()", () => {
  const env = { name: "a", as: "env", values: { X: "1", Y: "1" } } as const;
  const files = { name: "b", as: "files", values: { Y: "2", Z: "2" } } as const;

  it("give variables, all values with their files, and of two with one key the later", () => {
    assert.deepEqual(secretEnv([env, files, { ...env, values: { X: "3" } }]), { X: "3", Y: "1" });
    assert.deepEqual(secretValues([env, files], ({ name }) => `/s/${name}`), {
      X: { value: "1" },
      Y: { value: "2", file: "/s/b/Y" },
      Z: { value: "2", file: "/s/b/Z" },
    });
    assert.equal(secretValues([], () => ""), undefined);
  });
});
