import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { tinyIndex, WHEEL } from "../setup/components/tiny_index.ts";
import { ownAddress } from "../setup/neighbour.ts";
import { exitOf, ociRunner, onEveryEngine, value } from "../setup/oci_world.ts";
import { tsFunction } from "../setup/runner.ts";
import { until } from "../setup/until.ts";

onEveryEngine("packages beside an image", (world) => {
  it("installs requirements once, with its lines in the log, for functions that reach nothing themselves", async () => {
    const here = await world();
    await using index = await tinyIndex();
    await using runner = await ociRunner(here, { oci: { hostPorts: [index.port] } });
    const source = `import tinywheel
def fn(n):
  try: open(tinywheel.__file__, "a")
  except OSError as error: return [tinywheel.double(n), error.strerror]
`;
    const url = `http://${ownAddress()}:${index.port}/wheels/`;
    const spec = {
      body: "python" as const,
      egress: "deny" as const,
      startTimeout: "2m",
      requirements: [
        "--no-index",
        `--find-links ${url}`,
        `--trusted-host ${ownAddress()}`,
        "tinywheel==1.0",
      ],
    };
    const first = await runner.assign(source, spec);
    runner.api.want(first);
    assert.deepEqual(await value(runner, 21), [42, "Read-only file system"]);
    const lines = () =>
      [...runner.api.logs.values()].flat().map(([, , , , stream, text]) => `${stream}: ${text}`);
    await until("its lines have come", () => lines().find((line) => /^system: Successfully inst/.test(line)));
    const second = await runner.assign(source, spec);
    runner.api.want(second);
    assert.deepEqual(await value(runner, 4), [8, "Read-only file system"]);
    assert.equal(index.asked.filter((path) => path.endsWith(WHEEL)).length, 1);
    runner.api.want(await runner.assign(source, { ...spec, requirements: ["--no-index", "tinywheel==2.0"] }));
    const { kind, message } = await exitOf(runner, "ctr_3");
    assert.equal(kind, "start_failed");
    assert.match(
      message,
      /^Cannot install 2 requirements: .*No matching distribution found for tinywheel==2.0/s,
    );
  });

  it("keeps those that are mounted, and no more of the others than fit the budget", async () => {
    const here = await world();
    await using index = await tinyIndex();
    await using runner = await ociRunner(here, { oci: { hostPorts: [index.port], packagesMiB: 0 } });
    const requirements = ["--no-index", `--find-links http://${ownAddress()}:${index.port}/wheels/`];
    const list = [...requirements, `--trusted-host ${ownAddress()}`, "tinywheel==1.0"];
    const source = "def fn(n):\n  import tinywheel\n  return tinywheel.double(n)\n";
    const kept = () => [...Deno.readDirSync(`${runner.dir}/packages`)].map(({ name }) => name);
    // Places are looked up for each container: none is made ahead, which would have them mounted.
    const egress = ["192.0.2.7:1"];
    const spec = { body: "python" as const, startTimeout: "2m", requirements: list, egress };
    runner.api.want(await runner.assign(source, spec));
    assert.equal(await value(runner, 21), 42);
    assert.equal(kept().length, 1);
    runner.api.want();
    await until("they are gone", () => kept().length === 0 || null);
  });

  it("installs npm packages that are not in the bundle", async () => {
    const here = await world();
    await using index = await tinyIndex();
    const registry = `http://${ownAddress()}:${index.port}/`;
    await using runner = await ociRunner(here, {
      oci: { sources: { NPM_CONFIG_REGISTRY: registry }, hostPorts: [index.port] },
    });
    const source = `import { triple } from "npm:tinynpm@1.0.0";\n${tsFunction("(n) => triple(n)")}`;
    const assigned = await runner.assign(source, { startTimeout: "2m", egress: "deny" });
    runner.api.want({ ...assigned, external: ["npm:tinynpm@1.0.0"] });
    assert.equal(await value(runner, 14), 42);
  });
});
