import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { imageOf } from "../setup/components/registry.ts";
import { clientOf } from "../setup/components/engines.ts";
import { onEveryEngine, type World } from "../setup/oci_world.ts";
import { Platform } from "../setup/platform.ts";
import { until } from "../setup/until.ts";

const PATIENCE_MS = 120_000;

const up = ({ at, registry }: World, engine: string): Promise<Platform> =>
  Platform.up({
    // Flags and variables say the same.
    args: ["--engine", engine, "--oci-socket", at.socket],
    env: {
      BERTH_DENO_IMAGE: imageOf(registry.host, "deno"),
      BERTH_PYTHON_IMAGE: imageOf(registry.host, "python"),
    },
  });

onEveryEngine("a platform whose node has a container engine", (world) => {
  it("runs TypeScript, Python and endpoints in containers, and leaves none behind", async () => {
    const here = await world();
    const client = clientOf(here.at);
    {
      await using platform = await up(here, "oci");
      await platform.deploy(
        `import { App } from "berth";
const app = new App("boxed");
export const where = app.function({ startTimeout: "2m" }, () => import.meta.dirname);
export const who = app.python("who.py:who", { image: "${
          imageOf(here.registry.host, "python")
        }", startTimeout: "2m" });
export const hello = app.endpoint({ auth: "public", startTimeout: "2m" }, (request) => new Response("hello " + new URL(request.url).search));
`,
        "app.ts",
        { "who.py": "import os\ndef who(input):\n  return [os.getuid(), os.listdir('/berth/slot/app')]\n" },
      );
      assert.equal((await platform.call("boxed/where", null, PATIENCE_MS)).result, "/berth/slot/app");
      const [uid, files] = (await platform.call("boxed/who", null, PATIENCE_MS)).result as [number, string[]];
      assert.equal(uid, 65_534);
      assert.ok(files.includes("who.py"), files.join(" "));
      const answered = await until("the endpoint answers", async () => {
        const response = await fetch(new URL("/e/boxed/hello?you", platform.url));
        const text = await response.text();
        return response.status === 504 ? null : [response.status, text];
      }, PATIENCE_MS);
      assert.deepEqual(answered, [200, "hello ?you"]);
    }
    const left = await client.containers();
    assert.deepEqual(left.filter(({ Labels }) => Labels["berth.runner"]?.startsWith("/tmp/berth-")), []);
    client.close();
  });
});
