import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { honoured } from "../../../sdk/cli/image_honours.ts";
import type { Job } from "../../../sdk/cli/cli.ts";
import type { ImageChain, ImageStep } from "../../../sdk/image_steps.ts";
import { Manifest } from "../../../sdk/protocol.ts";

function setup(body: "python" | "ts" = "python") {
  const notes: string[] = [];
  const output = { note: (line: string) => notes.push(line), tint: (_: string, text: string) => text };
  const methods = [{ name: "fn", kind: "call" }];
  const manifest = Manifest.parse({
    sdkVersion: "1",
    functions: ["fn", "other"].map((name) => ({
      name,
      kind: "function",
      body,
      entry: name,
      methods: methods.map((method) => ({ ...method, name })),
      env: { KEPT: "1" },
      requirements: ["first"],
    })),
  });
  const run = (from: ImageChain["from"], ...steps: ImageStep[]) =>
    honoured({ output } as unknown as Job, manifest, ["fn"], { from, steps });
  return { notes, run };
}

const PYTHON = { kind: "python", version: "3.11" } as const;

describe("honoured()", () => {
  it("gives plain processes the packages and variables of an image, with a warning", () => {
    const { notes, run } = setup();
    const { functions: [fn, other], external } = run(
      PYTHON,
      { do: "pip", packages: ["numpy"], requirements: ["--no-index"] },
      { do: "env", env: { KEPT: "2", NEW: "3" } },
      { do: "npm", packages: ["sharp@1"] },
    );
    assert.deepEqual(fn!.requirements, ["first", "numpy", "--no-index"]);
    assert.deepEqual(fn!.env, { KEPT: "1", NEW: "3" }); // what the function says comes first, as in a container
    assert.deepEqual([other!.requirements, other!.env], [["first"], { KEPT: "1" }]);
    assert.deepEqual(external, ["npm:sharp@1"]);
    assert.match(notes.join(), /no node has a container engine: "fn" will run as plain processes/);
  });

  it("refuses what only a container engine can do, by name", () => {
    const refusal = (run: () => unknown): string => {
      try {
        run();
      } catch (error) {
        return (error as Error).message;
      }
      throw new Error("It was not refused");
    };
    const apt = { do: "apt", packages: ["curl"] } as const;
    const { run } = setup();
    assert.match(
      refusal(() => run(PYTHON, apt, apt, { do: "run", command: "x" })),
      /cannot do \.aptInstall\(\), \.run\(\)$/,
    );
    assert.match(
      refusal(() => run({ kind: "registry", ref: "a.example/b:1" })),
      /cannot do an image of a registry \(a\.example\/b:1\)$/,
    );
    assert.match(refusal(() => run({ kind: "containerfile", text: "FROM a" })), /cannot do a Containerfile$/);
    assert.match(
      refusal(() => setup("ts").run(PYTHON, { do: "pip", packages: ["x"] })),
      /\.pipInstall\(\) for TypeScript$/,
    );
  });
});
