/** Images on the command line, against a real api; a test plays the node that builds them. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { tendBuilds } from "../../scheduler/store/builds.ts";
import { denoRunner } from "../../sdk/cli/deno_process.ts";
import { realClock } from "../../sdk/ports.ts";
import type { App, BuildReport, Image, SyncReply, WantedBuild } from "../../sdk/protocol.ts";
import { TestApi } from "../setup/api.ts";
import { ApiRunner } from "../setup/api_runner.ts";
import { berth, type Said } from "../setup/shell.ts";
import { until } from "../setup/until.ts";

type End = BuildReport["end"];

const REPOSITORY = "registry.example/berth";
const good = ({ image, do: what }: WantedBuild): End =>
  what === "remove" ? { removed: true } : ({
    ref: `${REPOSITORY}@sha256:${digestOf(image)}`, // another for each
    size: 3 * 2 ** 20,
  });

const digestOf = (image: string): string =>
  new TextEncoder().encode(image).toHex().slice(-64).padStart(64, "0");

async function setup(images = { registry: REPOSITORY }) {
  const bases = { deno: "deno:{version}", python: "python:{version}" };
  const api = await TestApi.start({ images: { ...images, bases } });
  const cwd = await Deno.makeTempDir({ prefix: "berth-cli-image-" });
  const run = (...args: string[]): Promise<Said> =>
    berth(
      args,
      ({ method, path, body }) =>
        api.fetch(path, {
          method,
          ...method === "GET" ? {} : { raw: body },
          ...path.endsWith("/logs") ? { headers: { accept: "text/event-stream" } } : {},
        }),
      { cwd, run: denoRunner(realClock), env: Deno.env.toObject() },
    );
  /** Writes an app whose function has this image. */
  const write = async (image: string) => {
    await Deno.writeTextFile(`${cwd}/fn.py`, "def fn(n):\n  return n\n");
    await Deno.writeTextFile(
      `${cwd}/app.ts`,
      `import { App, Image } from "berth";
const app = new App("demo");
export const fn = app.python("fn.py:fn", { image: ${image} });
`,
    );
  };
  return {
    api,
    run,
    write,
    [Symbol.asyncDispose]: async () => {
      await api[Symbol.asyncDispose]();
      await Deno.remove(cwd, { recursive: true });
    },
  };
}

/** A node that builds whatever it is given, until the scope ends. */
async function builder(api: TestApi, endOf: (wanted: WantedBuild) => End = good) {
  const { sql, clock } = api.deps;
  const runner = await ApiRunner.join(api);
  const over = new AbortController();
  const sync = async (): Promise<SyncReply> => {
    const body = { session: runner.session, containers: [], leases: [], revision: -1, images: [] };
    return await (await runner.fetch("/sync", { method: "POST", body })).json();
  };
  await sync();
  const working = until("the scope ends", async () => {
    await tendBuilds(sql, new Date(clock.now()));
    for (const wanted of (await sync()).builds) {
      const { image, attempt } = wanted;
      const end = endOf(wanted);
      const lines = [[0, 1, "system", "Step 1 of 2: FROM python:3.11"], [1, 2, "stdout", "so far so good"]];
      await runner.fetch(`/builds/${image}`, { method: "POST", body: { attempt, lines, end } });
    }
    return over.signal.aborted ? true : null;
  }, 300_000);
  return {
    [Symbol.asyncDispose]: async () => {
      over.abort();
      await working;
    },
  };
}

const deployed = async (api: TestApi) => (await api.ask<App>("/v1/apps/demo")).body.functions;

describe("an app whose image is a chain", () => {
  it("is deployed once its image is built, and its build is told as it goes", async () => {
    await using world = await setup();
    const { api, run, write } = world;
    await using _node = await builder(api);
    await write('Image.python("3.11").pipInstall("numpy").copy("fn.py", "/srv/")');
    const { code, err, out } = await run("deploy", "app.ts", "--no-check");
    assert.equal(code, 0, err);
    assert.match(
      err,
      /Building image [0-9a-f]{12}\n[\s\S]*Step 1 of 2[\s\S]*so far so good\n[\s\S]*Built image .* 3\.0 MiB/,
    );
    assert.match(out, /demo version 1/);
    assert.match((await deployed(api))[0]!.image!.ref, /^registry\.example\/berth@sha256:/);

    const again = await run("deploy", "app.ts", "--no-check", "--json");
    const [{ functions, ref, image }] = JSON.parse(again.out).images;
    assert.deepEqual([functions, ref, image.state], [["fn"], (await deployed(api))[0]!.image!.ref, "ready"]);
    assert.ok(!again.err.includes("Building"), again.err);

    assert.match((await run("image")).out, /img_\S+ +[0-9a-f]{12} +ready +3\.0 MiB +demo\/fn/);
    assert.match((await run("image", "prune")).out, /^Nothing to remove$/m);
    assert.match((await run("image", "build", image.id, "--rebuild")).out, /^fn|demo\/fn/m);
    await write('Image.python("3.11").pipInstall("scipy")');
    assert.equal((await run("deploy", "app.ts", "--no-check")).code, 0);
    assert.match((await run("image", "prune", "--dry-run")).out, /1 image, 3\.0 MiB, would be removed/);
    assert.match((await run("image", "prune")).out, /1 image, 3\.0 MiB, are removed$/m);
    assert.equal((await api.ask(`/v1/images/${image.id}`)).status, 404);
  });

  it("says of what was pruned what its registry keeps, and why", async () => {
    await using world = await setup();
    const { api, run, write } = world;
    const kept = "Registry registry.example keeps it: it does not allow deletion (405)";
    await using _node = await builder(
      api,
      (wanted) => wanted.do === "remove" ? { removed: true, kept } : good(wanted),
    );
    await write('Image.python("3.11").pipInstall("numpy")');
    assert.equal((await run("deploy", "app.ts", "--no-check")).code, 0);
    await write('Image.python("3.11").pipInstall("scipy")');
    assert.equal((await run("deploy", "app.ts", "--no-check")).code, 0);
    const { out } = await run("image", "prune");
    assert.match(out, /1 image, 3\.0 MiB, are removed\n1 image: Registry registry\.example keeps it: .*405/);
    assert.deepEqual(JSON.parse((await run("image", "ls", "--json")).out).items.length, 1);
  });

  it("is not deployed when its build fails, and says why", async () => {
    await using world = await setup();
    const { api, run, write } = world;
    await using _node = await builder(
      api,
      () => ({ failure: "Cannot build the image: step 2 of 2 (RUN make) failed: code 2\nno rule" }),
    );
    await write('Image.python("3.11").run("make")');
    const { code, err } = await run("deploy", "app.ts", "--no-check");
    assert.equal(code, 4);
    assert.match(err, /error: Cannot build the image: step 2 of 2 \(RUN make\) failed: code 2\nno rule/);
    assert.match(err, /Nothing was deployed/);
    assert.equal((await api.ask("/v1/apps/demo")).status, 404);
    const { items } = JSON.parse((await run("image", "ls", "--json")).out) as { items: Image[] };
    assert.equal(items[0]!.state, "failed");
  });

  it("runs as a plain process where no node has an engine and that is enough; or is refused, naming what is not", async () => {
    await using world = await setup();
    const { api, run, write } = world;
    await ApiRunner.join(api, "plain");
    await write('Image.python("3.11").pipInstall("numpy==2.1.0").env({ A: "b" })');
    const { code, err } = await run("deploy", "app.ts", "--no-check");
    assert.equal(code, 0, err);
    assert.match(err, /warning: no node has a container engine: "fn" will run as plain processes/);
    const [fn] = await deployed(api);
    assert.deepEqual([fn!.image, fn!.requirements, fn!.env], [undefined, ["numpy==2.1.0"], { A: "b" }]);
    await write('Image.python("3.11").aptInstall("curl")');
    const refused = await run("deploy", "app.ts", "--no-check");
    assert.equal(refused.code, 3);
    assert.match(refused.err, /plain processes cannot do \.aptInstall\(\)/);
  });

  it("builds without deploying, and says when there is nothing to build", async () => {
    await using world = await setup();
    const { api, run, write } = world;
    await using _node = await builder(api);
    await write('Image.python("3.11").pipInstall("numpy")');
    const { out } = await run("image", "build", "app.ts", "--no-check", "--json");
    assert.equal(JSON.parse(out).images[0].image.state, "ready");
    assert.equal((await api.ask("/v1/apps/demo")).status, 404);
    await write('"python:3.11"');
    const none = await run("image", "build", "app.ts", "--no-check");
    assert.equal(none.code, 2);
    assert.match(none.err, /none of its functions has an image that must be built/);
    assert.equal((await run("image", "build", "img_none")).code, 3);
  });

  it("names the line of a step that cannot be", async () => {
    await using world = await setup();
    await world.write('Image.python("3.11").aptInstall("curl; id")');
    const { code, err } = await world.run("deploy", "app.ts", "--no-check");
    assert.equal(code, 4);
    assert.match(err, /aptInstall\("curl; id"\): it must be the name of a Debian package[\s\S]*app\.ts:3/);
  });
});
