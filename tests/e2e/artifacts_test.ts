/** Artifacts from training to serving, as their example shows, on a whole platform. */
import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import type { ArtifactVersion } from "../../sdk/protocol.ts";
import { withoutPython } from "../setup/machine.ts";
import { Platform } from "../setup/platform.ts";
import { untilTrue } from "../setup/until.ts";

const EXAMPLE = new URL("../../sdk/examples/artifacts.ts", import.meta.url).pathname;
const LARGE_MIB = 8;

const PYTHON = `
import { App } from "berth";
const app = new App("files");
export const make = app.python<number, Record<string, unknown>>("make.py:make");
`;
const MAKE = `
import os

def make(mib, ctx):
    path = os.path.join(os.environ["BERTH_SLOT"], "large")
    with open(path, "wb") as f:
        for i in range(mib):
            f.write(bytes([i]) * 1024 * 1024)
    made = ctx.artifact("large", path)
    with open(ctx.artifact_file("large"), "rb") as back, open(path, "rb") as was:
        made["same"] = all(back.read(1 << 20) == was.read(1 << 20) for _ in range(mib)) and back.read() == b""
    return made
`;

describe("artifacts", () => {
  let platform: Platform;
  before(async () => {
    platform = await Platform.up();
  });
  after(() => platform[Symbol.asyncDispose]());

  const berth = async (...args: string[]) => {
    const { code, stdout, stderr } = await platform.berth(...args, "--json");
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };

  it("are published by a training, and served where the alias points when a container starts", async () => {
    const { endpoints } = await berth("deploy", EXAMPLE, "--no-check") as { endpoints: { url: string }[] };
    const predict = async () => (await (await fetch(`${endpoints[0]!.url}?x=10`)).json()).y as number;
    const first = await platform.call("artifacts/train", { slope: 3 });
    assert.equal((first.result as { version: number }).version, 1, JSON.stringify(first));
    await berth("artifact", "alias", "line", "production", "1", "--from", "none");
    assert.ok(Math.abs(await predict() - 31) < 1);

    const second = await platform.call("artifacts/train", { slope: 5 });
    const made = await berth("artifact", "show", "line") as ArtifactVersion;
    assert.deepEqual(made.madeBy, { call: second.id, attempt: 1, app: "artifacts", function: "train" });
    const events = await platform.all<{ kind: string; version?: number }>(`/v1/calls/${second.id}/events`);
    assert.deepEqual(events.filter(({ kind }) => kind === "artifact").map(({ version }) => version), [2]);

    await berth("artifact", "alias", "line", "production", "2", "--from", "1");
    const live = async () => (await platform.all("/v1/containers?function=Predictor&live=true")).length;
    await untilTrue("its container has gone", async () => await live() === 0);
    assert.ok(Math.abs(await predict() - 51) < 1);
  });

  it(
    "of a size that is never in memory go from Python to the platform and back",
    { skip: withoutPython },
    async () => {
      await platform.deploy(PYTHON, "app.ts", { "make.py": MAKE });
      const { result, failure } = await platform.call("files/make", LARGE_MIB);
      assert.deepEqual([failure, (result as { same: boolean })?.same], [undefined, true]);
      const out = `${platform.dir}/large`;
      const { digest, size } = await berth("artifact", "get", "large@1", "-o", out);
      assert.equal(size, LARGE_MIB * 1024 * 1024);
      assert.equal((await berth("artifact", "put", "large", out)).version, 1, "the same bytes");
      assert.equal(digest, (result as { digest: string }).digest);
    },
  );
});
