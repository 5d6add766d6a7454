import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Image } from "../../sdk/protocol.ts";
import { testEngines } from "../setup/components/engines.ts";
import { makeWheel } from "../setup/components/packages.ts";
import { imageOf } from "../setup/components/registry.ts";
import { JoinedNode } from "../setup/joined_node.ts";
import { withoutEngines } from "../setup/machine.ts";
import { onEveryEngine } from "../setup/oci_world.ts";
import { Platform } from "../setup/platform.ts";
import { until } from "../setup/until.ts";

const PATIENCE_MS = 180_000;

const app = (step: string) =>
  `import { App, Image } from "berth";
const app = new App("chain");
const image = Image.python("3.11")
  .copy("berth_answer-1.0-py3-none-any.whl", "/wheels/")
  .pipInstall("berth-answer @ file:///wheels/berth_answer-1.0-py3-none-any.whl")
  ${step};
export const answer = app.python("answer.py:answer", { image, startTimeout: "3m" });
`;

onEveryEngine("an app whose image is a chain", (world) => {
  it("is built when it is deployed, pushed, and runs; a build that fails leaves what ran before", async () => {
    const here = await world();
    await using platform = await Platform.up({
      args: ["--registry", `${here.registry.host}/berth/built`],
      env: {
        BERTH_OCI_SOCKET: here.at.socket,
        BERTH_BASE_PYTHON: imageOf(here.registry.host, "debian"),
      },
    });
    const folder = await Deno.makeTempDir({ dir: platform.dir });
    await makeWheel(folder);
    await Deno.writeTextFile(
      `${folder}/answer.py`,
      "import berth_answer, os\ndef answer(n):\n  return [berth_answer.VALUE + n, os.environ['MOOD']]\n",
    );
    const deploy = async (step: string) => {
      await Deno.writeTextFile(`${folder}/app.ts`, app(step));
      return await platform.berth("deploy", `${folder}/app.ts`, "--json", "--no-check");
    };

    const first = await deploy(`.env({ MOOD: "calm" })`);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stderr, /Step \d of \d: RUN python3 -m pip install/);
    const [{ functions, ref, image }] = JSON.parse(first.stdout).images as [
      { functions: string[]; ref: string; image: Image },
    ];
    assert.deepEqual(functions, ["answer"]);
    assert.match(ref, /\/berth\/built@sha256:[0-9a-f]{64}$/);
    assert.deepEqual((await platform.call("chain/answer", 1, PATIENCE_MS)).result, [42, "calm"]);

    const again = await deploy(`.env({ MOOD: "calm" })`);
    assert.equal(JSON.parse(again.stdout).images[0].image.endedAt, image.endedAt); // found, not built
    assert.equal(JSON.parse(again.stdout).deployment, JSON.parse(first.stdout).deployment);

    const broken = await deploy(`.env({ MOOD: "wild" }).run("echo it cannot be; exit 7")`);
    assert.notEqual(broken.code, 0);
    assert.match(
      broken.stderr,
      /step \d of \d \(RUN echo it cannot be; exit 7\) failed: [\s\S]*it cannot be/,
    );
    assert.deepEqual((await platform.call("chain/answer", 2, PATIENCE_MS)).result, [43, "calm"]);

    const { items } = JSON.parse((await platform.berth("image", "ls", "--json")).stdout) as {
      items: Image[];
    };
    assert.deepEqual(items.map(({ state, usedBy }) => [state, usedBy]), [["failed", []], ["ready", [
      "chain/answer",
    ]]]);
    const pruned = JSON.parse((await platform.berth("image", "prune", "--json")).stdout) as {
      images: Image[];
    };
    assert.deepEqual(pruned.images.map(({ id }) => id), [items[0]!.id]);
  });
});

describe("a chain that is being built", { skip: withoutEngines }, () => {
  it("is built again when the runner that builds it is killed", async () => {
    const { engines: [, at], registry } = await testEngines();
    await using platform = await Platform.up({
      args: ["--no-runner", "--registry", `${registry.host}/berth/built`],
    });
    const env = { BERTH_OCI_SOCKET: at!.socket };
    await platform.post("/v1/pools", { name: "room", provider: "static" });
    await using node = await JoinedNode.start(platform, "room", "builder", { env });
    const folder = await Deno.makeTempDir({ dir: platform.dir });
    await Deno.writeTextFile(
      `${folder}/app.ts`,
      `import { App, Image } from "berth";
const app = new App("lost");
const image = Image.fromRegistry("${imageOf(registry.host, "busybox")}").run("sleep 3; date > /made");
export const fn = app.function({ image }, () => 1);
`,
    );
    const deploying = platform.berth("deploy", `${folder}/app.ts`, "--json", "--no-check");
    const images = async () => (await platform.ask<{ items: Image[] }>("/v1/images")).body.items;
    await until(
      "it is being built",
      async () => (await images())[0]?.state === "building" || null,
      PATIENCE_MS,
    );
    await node.kill();
    node.restart();
    const { code, stderr } = await deploying;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /Node \S+ went away while it built this/);
    assert.deepEqual((await images()).map(({ state, usedBy }) => [state, usedBy]), [["ready", ["lost/fn"]]]);
  });
});
