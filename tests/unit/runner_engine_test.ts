import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { parseBundle } from "../../runner/cache.ts";
import { readConfig, withoutSecrets } from "../../runner/config.ts";
import { StartError } from "../../runner/engine.ts";
import { declaresNothing, denoArgs, limitsOf } from "../../runner/engines/deno_args.ts";
import { gangEnv, gpuEnv, guestEnv, toolEnv } from "../../runner/engines/environment.ts";
import { Meter } from "../../runner/meter.ts";
import { publicPath } from "../../runner/services.ts";
import { slotsFolder } from "../../runner/slots.ts";
import { FunctionSpec, type Permissions } from "../../sdk/protocol.ts";

const PATHS = { guest: "/b/guest.ts", sdk: "/b/sdk", importMap: "/b/map.json" };
const SLOT = { dir: "/s/1", control: "/s/1/control.sock", http: "/s/1/http.sock" };
const flags = (permissions: Permissions, more = {}) =>
  denoArgs(PATHS, SLOT, { permissions, env: [], memory: 512, external: false, ...more });

describe("denoArgs()", () => {
  it("grants a function that declares nothing only what its guest needs", () => {
    assert.deepEqual(flags({}).filter((flag) => flag.startsWith("--allow")), [
      "--allow-read=/s/1,/b/sdk",
      "--allow-write=/s/1/control.sock,/s/1/http.sock",
      "--allow-net=unix:/s/1/control.sock,unix:/s/1/http.sock",
      "--allow-env=BERTH_SLOT",
    ]);
  });

  it("adds what is declared, by name or whole", () => {
    const declared = flags({ net: ["example.com:443"], read: true, run: false, ffi: ["/lib/a,b.so"] }, {
      env: ["TOKEN"],
    });
    for (const flag of ["--allow-read", "--allow-ffi=/lib/a,,b.so", "--allow-env=BERTH_SLOT,TOKEN"]) {
      assert.ok(declared.includes(flag), flag);
    }
    assert.ok(declared.some((flag) => /^--allow-net=unix:.*,example\.com:443$/.test(flag)));
    assert.ok(!declared.some((flag) => flag.startsWith("--allow-run")));
  });

  it("limits the heap, never asks, and lets npm in only for packages beside the bundle", () => {
    assert.ok(flags({}).includes("--v8-flags=--max-old-space-size=512"));
    for (const flag of ["--no-prompt", "--no-remote", "--no-npm"]) assert.ok(flags({}).includes(flag), flag);
    assert.ok(!flags({}, { external: true }).includes("--no-npm"));
    assert.ok(flags({}, { external: true }).includes("--cached-only"));
  });
});

describe("declaresNothing()", () => {
  it("is true when every kind is absent, false or empty", () => {
    assert.equal(declaresNothing({ net: false, read: [] }), true);
    assert.equal(declaresNothing({ net: ["a"] }), false);
    assert.equal(declaresNothing({ sys: true }), false);
  });
});

describe("gangEnv() and limitsOf()", () => {
  it("tell a rank its place as torchrun would with one process per node, and let it read that", () => {
    const env = gangEnv({ rank: 2, size: 4 });
    assert.deepEqual(env, {
      RANK: "2",
      WORLD_SIZE: "4",
      LOCAL_RANK: "0",
      LOCAL_WORLD_SIZE: "1",
      NODE_RANK: "2",
      NNODES: "4",
    });
    assert.deepEqual(gangEnv(undefined, "eth0"), {});
    const { GLOO_SOCKET_IFNAME, NCCL_SOCKET_IFNAME, TP_SOCKET_IFNAME, ...rest } = gangEnv({
      rank: 2,
      size: 4,
    }, "eth0");
    assert.deepEqual([GLOO_SOCKET_IFNAME, NCCL_SOCKET_IFNAME, TP_SOCKET_IFNAME], ["eth0", "=eth0", "eth0"]);
    assert.deepEqual(rest, env);
    const spec = FunctionSpec.parse({
      name: "f",
      kind: "function",
      body: "ts",
      entry: "f",
      methods: [{ name: "f", kind: "call" }],
    });
    const readable = limitsOf({ ...spec, nodes: 4 }, false).env;
    for (const name of [...Object.keys(env), "MASTER_ADDR", "MASTER_PORT"]) {
      assert.ok(readable.includes(name));
    }
    assert.ok(!limitsOf(spec, false).env.includes("RANK"));
  });
});

describe("limitsOf() a function with secrets", () => {
  it("lets it read their variables and their folder, and nothing else", () => {
    const spec = FunctionSpec.parse({
      name: "f",
      kind: "function",
      body: "ts",
      entry: "f",
      methods: [{ name: "f", kind: "call" }],
    });
    const limits = limitsOf(spec, false, { variables: ["TOKEN"], folder: "/s/1/secrets" });
    const args = denoArgs(PATHS, SLOT, limits);
    assert.ok(args.includes("--allow-read=/s/1,/b/sdk,/s/1/secrets"));
    assert.ok(args.includes("--allow-env=BERTH_SLOT,CUDA_VISIBLE_DEVICES,BERTH_GPUS_SIMULATED,TOKEN"));
  });
});

describe("guestEnv() and toolEnv()", () => {
  const own = {
    PATH: "/bin",
    HOME: "/home/u",
    DATABASE_URL: "secret",
    PIP_INDEX_URL: "x",
    npm_config_registry: "y",
    LANG: "C",
  };

  it("show a guest what it declares and nothing of the runner's", () => {
    const env = guestEnv(own, {
      slot: "/s/1",
      denoDir: "/d",
      declared: { A: "1", BERTH_SLOT: "no" },
      secrets: { TOKEN: "given" },
      gpus: { G: "0" },
      gang: {},
      volumes: { BERTH_VOLUME_DATA: "/v" },
    });
    assert.equal(env.DATABASE_URL, undefined);
    assert.equal(env.PIP_INDEX_URL, undefined);
    assert.equal(env.TOKEN, "given");
    assert.deepEqual([env.A, env.G, env.BERTH_SLOT, env.DENO_DIR, env.HOME, env.PATH], [
      "1",
      "0",
      "/s/1",
      "/d",
      "/s/1",
      "/bin",
    ]);
  });

  it("show tools where to install from, and no secrets", () => {
    assert.deepEqual(Object.keys(toolEnv(own)).sort(), [
      "HOME",
      "LANG",
      "NO_COLOR",
      "PATH",
      "PIP_INDEX_URL",
      "npm_config_registry",
    ]);
  });
});

describe("gpuEnv()", () => {
  const gpus = [
    { index: 0, model: "L4", vramMiB: 1, uuid: "GPU-a", simulated: false },
    { index: 1, model: "L4", vramMiB: 1, simulated: true },
  ];

  it("names the GPUs that were given, and hides the others", () => {
    assert.equal(gpuEnv([], gpus).CUDA_VISIBLE_DEVICES, "");
    assert.deepEqual(gpuEnv([{ index: 0, milli: 1000 }], gpus), {
      CUDA_VISIBLE_DEVICES: "GPU-a",
      CUDA_DEVICE_ORDER: "PCI_BUS_ID",
    });
    assert.equal(gpuEnv([{ index: 1, milli: 500 }], gpus).BERTH_GPUS_SIMULATED, "1");
  });
});

describe("parseBundle()", () => {
  const bundle = (value: unknown) => () => parseBundle(new TextEncoder().encode(JSON.stringify(value)));

  it("gives the files by their path", () => {
    const files = { "app.js": "1", "data/x.bin": { base64: "AAE=" } };
    assert.deepEqual(bundle({ version: 1, files })(), files);
  });

  it("refuses paths that lead outside, and what is no bundle", () => {
    for (const path of ["/etc/passwd", "../a", "a/../../b", "a//b", "./a", "a\\b", "a\0b", ""]) {
      assert.throws(bundle({ version: 1, files: { [path]: "x" } }), StartError, path);
    }
    assert.throws(bundle({ version: 2, files: {} }), StartError);
    assert.throws(() => parseBundle(new Uint8Array([1, 2])), StartError);
  });
});

describe("publicPath()", () => {
  it("keeps a request of a function below /v1/", () => {
    assert.equal(publicPath("/v1/calls/call_1?wait=1"), "/v1/calls/call_1?wait=1");
    assert.equal(publicPath("/v1/a/../calls"), "/v1/calls");
    for (
      const path of ["/v1/../nodes", "/v1/%2e%2e/nodes", "/v1/..", "//evil.example/v1/x", "/v1/\\..\\..\\x"]
    ) {
      const seen = publicPath(path);
      assert.ok(seen === null || (seen.startsWith("/v1/") && !seen.includes("..")), path);
    }
    assert.equal(publicPath("/v1/../nodes"), null);
    assert.equal(publicPath("//evil.example/v1/x"), null);
  });
});

describe("Meter", () => {
  /** A guest whose use the test sets, and how often it was looked at. */
  function guest() {
    const used = { memoryMiB: 0, cpuUs: 0, looks: 0 };
    return { used, usage: () => ({ ...used, looks: ++used.looks }) };
  }

  it("looks at memory the more often, the nearer the limit is, and says when it is crossed", () => {
    const meter = new Meter(512);
    const one = guest();
    one.used.memoryMiB = 112;
    assert.equal(meter.exceeds(one, 0), false);
    assert.equal(meter.exceeds(one, 199), false);
    assert.equal(one.used.looks, 1);
    one.used.memoryMiB = 510;
    assert.equal(meter.exceeds(one, 200), false);
    assert.equal(meter.exceeds(one, 249), false);
    assert.equal(one.used.looks, 2);
    one.used.memoryMiB = 513;
    assert.equal(meter.exceeds(one, 250), true);
    assert.equal(meter.seenMiB, 513);
  });

  it("counts CPU time from when it was ready", () => {
    const meter = new Meter(512);
    const one = guest();
    one.used.cpuUs = 70_000;
    meter.begin(one, 0);
    one.used.cpuUs = 90_000;
    assert.equal(meter.cpuUs(one, 9), 0);
    assert.equal(meter.cpuUs(one, 10), 20_000);
    assert.equal(meter.cpuUs(null, 50), 20_000);
  });
});

describe("slotsFolder()", () => {
  it("lies in the data folder unless sockets there would have too long a name", async () => {
    assert.equal(await slotsFolder("/data", "/tmp"), "/data/slots");
    const deep = await slotsFolder(`/${"x".repeat(90)}`, "/tmp");
    assert.match(deep, /^\/tmp\/berth-[0-9a-f]{12}$/);
    assert.equal(await slotsFolder(`/${"x".repeat(90)}`, "/tmp"), deep);
    assert.notEqual(await slotsFolder(`/${"y".repeat(90)}`, "/tmp"), deep);
  });
});

describe("readConfig()", () => {
  const env = { HOME: "/home/u", BERTH_JOIN_TOKEN: "join_x" };

  it("reads flags and the environment, with defaults", () => {
    const config = readConfig(
      ["--api", "http://h:1", "--simulate-gpus", "2xH100:80GiB", "--pool-size", "0"],
      env,
    );
    assert.equal(config.token, "join_x");
    assert.equal(config.simulateGpus?.length, 2);
    assert.deepEqual([config.poolSize, config.data, config.denoDir], [
      0,
      ".berth/runner",
      "/home/u/.cache/deno",
    ]);
  });

  it("names the option that makes no sense", () => {
    const wrong = {
      "--simulate-gpus=lots": /option --simulate-gpus: Cannot read GPUs "lots"/,
      "--pool-size=many": /option --pool-size:/,
      "--cpu=0": /option --cpu:/,
    };
    for (const [flag, message] of Object.entries(wrong)) {
      assert.throws(() => readConfig(["--api", "http://h", flag], env), message);
    }
    assert.throws(() => readConfig([], env), /option --api:/);
    assert.throws(() => readConfig(["--nonsense"], env), /--nonsense/);
  });

  it("prints no secret", () => {
    assert.doesNotMatch(JSON.stringify(withoutSecrets(readConfig(["--api", "x"], env))), /join_x/);
  });
});
