import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { parseReference } from "../../sdk/image_reference.ts";
import type { Call } from "../../sdk/protocol.ts";
import { startDocker } from "../setup/components/docker.ts";
import { startPodman } from "../setup/components/podman.ts";
import { imageOf } from "../setup/components/registry.ts";
import { onEveryEngine } from "../setup/oci_world.ts";
import { Platform } from "../setup/platform.ts";
import { until } from "../setup/until.ts";

const PATIENCE_MS = 60_000;

onEveryEngine("a platform whose only engine is away", (world) => {
  it("says so, runs what needs none, and places the rest when it is back", async () => {
    const here = await world();
    const image = imageOf(here.registry.host, "python");
    const engine = await (here.at.name === "docker" ? startDocker() : startPodman([here.registry.host]));
    try {
      await engine.client.pull(parseReference(image));
      await using platform = await Platform.up({ args: ["--oci-socket", engine.socket] });
      await platform.deploy(
        `import { App } from "berth";
const app = new App("away");
export const plain = app.function({}, (n: number) => n + 1);
export const boxed = app.python("boxed.py:fn", { image: "${image}", startTimeout: "2m", scale: { max: 1 } });
`,
        "app.ts",
        { "boxed.py": "def fn(n):\n  return n + 2\n" },
      );
      await engine.kill();
      await until(
        "berth nodes says it",
        async () => / up, engine away /.test((await platform.berth("nodes")).stdout) || null,
        PATIENCE_MS,
      );
      const { body } = await platform.post<{ calls: { id: string }[] }>(
        "/v1/apps/away/functions/boxed/calls",
        {
          input: 1,
        },
      );
      const { id } = body.calls[0]!;
      const reason = "the container engine of each node that it could run on is away";
      await until("it waits, and says why", async () => {
        const { state, waiting } = (await platform.ask<Call>(`/v1/calls/${id}`)).body;
        return state === "queued" && waiting?.reason.includes(reason) ? true : null;
      }, PATIENCE_MS);
      assert.equal((await platform.call("away/plain", 1)).result, 2);
      await engine.start();
      const call = await platform.ended(id, PATIENCE_MS);
      assert.deepEqual([call.state, call.result, call.attempt], ["succeeded", 3, 1]);
    } finally {
      await engine.stop();
    }
  });
});
