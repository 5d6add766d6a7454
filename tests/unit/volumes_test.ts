import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { denoArgs, limitsOf, withVolumes } from "../../runner/engines/deno_args.ts";
import { volumeEnv } from "../../runner/engines/environment.ts";
import { guestSandbox } from "../../runner/engines/oci/guest_sandbox.ts";
import { NO_PACKAGES } from "../../runner/engines/oci/packages.ts";
import { filledIn } from "../../runner/engines/filled_in.ts";
import { staysInside, stepsOf } from "../../runner/volume_folder.ts";
import { fit } from "../../scheduler/fit.ts";
import { whyNot } from "../../scheduler/why_not.ts";
import type { NeedVolume } from "../../scheduler/model.ts";
import { CallContext, containerContext } from "../../sdk/context.ts";
import { describeModule } from "../../sdk/describe.ts";
import { LABEL_VOLUMES } from "../../sdk/labels.ts";
import { localOutlet } from "../../sdk/local.ts";
import { App, Volume } from "../../sdk/mod.ts";
import { FunctionSpec, Manifest, Mounts } from "../../sdk/protocol.ts";
import { gpus, need, node } from "../setup/snapshots.ts";
import { parseGpu } from "../../sdk/gpu.ts";

const SPEC = FunctionSpec.parse({
  name: "f",
  kind: "function",
  body: "ts",
  entry: "f",
  methods: [{ name: "f", kind: "call" }],
});

describe("Volume.fromName()", () => {
  it("is deployed as what a function mounts", () => {
    const app = new App("demo");
    const volumes = {
      "/data": Volume.fromName("data", { create: true }),
      "/w": Volume.fromName("w", { readOnly: true }),
    };
    const { manifest } = describeModule({
      f: app.function({ volumes }, () => 1),
      g: app.function({}, () => 1),
    });
    const [f, g] = Manifest.parse(manifest).functions;
    assert.deepEqual(f!.volumes, {
      "/data": { name: "data", create: true, readOnly: false },
      "/w": { name: "w", create: false, readOnly: true },
    });
    assert.deepEqual(g!.volumes, {});
  });

  it("refuses what is no name, and what is no volume", () => {
    assert.throws(() => Volume.fromName(""), /expected a text/);
    const volumes = { "/data": "data" as unknown as Volume };
    assert.throws(() => new App("demo").function({ volumes }, () => 1), /Cannot mount at "\/data"/);
  });
});

describe("Mounts", () => {
  const problem = (mounts: Record<string, string>) => {
    const parsed = Mounts.safeParse(
      Object.fromEntries(Object.entries(mounts).map(([path, name]) => [path, { name }])),
    );
    return parsed.success
      ? null
      : `${parsed.error.issues[0]!.path.join()} ${parsed.error.issues[0]!.message}`;
  };

  it("takes absolute paths that are nobody else's", () => {
    for (
      const path of ["/data", "/mnt/a-b_c.d", "/root/.cache/huggingface", "/usr/share/models", "/data..x"]
    ) {
      assert.equal(problem({ [path]: "v" }), null, path);
    }
  });

  it("refuses others, and says why", () => {
    for (const path of ["data", "/", "/a/", "/a//b", "/a/../b", "/a/.", "/a b", "/a:b", ""]) {
      assert.match(problem({ [path]: "v" })!, /must be an absolute path/, path);
    }
    for (const path of ["/berth/slot", "/tmp", "/tmp/x", "/proc/1", "/sys", "/dev/shm", "/etc/ssl"]) {
      assert.match(problem({ [path]: "v" })!, /the container's own/, path);
    }
    for (const path of ["/usr", "/lib", "/var", "/bin"]) {
      assert.match(problem({ [path]: "v" })!, /which programs need/, path);
    }
  });

  it("refuses volumes in one another, the same one twice, and paths that read alike", () => {
    assert.match(problem({ "/data": "a", "/data/b": "b" })!, /must not lie in another volume/);
    assert.match(problem({ "/data/b": "a", "/data": "b" })!, /or around it/);
    assert.equal(problem({ "/data": "a", "/database": "b" }), null);
    assert.match(problem({ "/a": "v", "/b": "v" })!, /^\/b volume "v" is mounted at \/a already$/);
    assert.match(problem({ "/a-b": "v", "/a_b": "w" })!, /BERTH_VOLUME_A_B/);
    const many = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`/v${i}`, `v${i}`]));
    assert.match(problem(many)!, /at most 16/);
  });
});

describe("ctx.volume()", () => {
  const container = { app: "a", function: "f", container: "ctr_1", volumes: new Map([["/data", "/v/1"]]) };
  const { signal } = new AbortController();

  it("says where a volume is, or which there are", () => {
    const contexts = [
      new CallContext(container, { number: 1, id: "call_1", attempt: 1 }, localOutlet),
      containerContext(container, { outlet: localOutlet, signal, write: () => {} }),
    ];
    for (const ctx of contexts) {
      assert.equal(ctx.volume("/data"), "/v/1");
      assert.throws(() => ctx.volume("/other"), /at "\/other": this function mounts volumes at \/data$/);
    }
  });
});

describe("what a function's volumes allow", () => {
  const placed = [
    {
      id: "vol_1",
      storage: "node",
      name: "a",
      path: "/data",
      readOnly: false,
      folder: "/n/vol_1",
      place: "/data",
    },
    { id: "vol_2", storage: "node", name: "b", path: "/w", readOnly: true, folder: "/n/vol_2", place: "/w" },
  ] as const;

  it("is to read and to write in Deno's words, and never to write to one that is read-only", () => {
    const paths = { guest: "/b/guest.ts", sdk: "/b/sdk", importMap: "/b/map.json" };
    const slot = { dir: "/s/1", control: "/s/1/c.sock", http: "/s/1/h.sock" };
    const args = denoArgs(paths, slot, withVolumes(limitsOf(SPEC, false), placed));
    assert.ok(args.includes("--allow-read=/s/1,/b/sdk,/data,/w"));
    assert.ok(args.includes("--allow-write=/s/1/c.sock,/s/1/h.sock,/data"));
    assert.ok(args.includes("--deny-write=/w"));
  });

  it("are mounts of a container, and variables that say where they are", () => {
    const owner = { uid: 1, gid: 1 }, rlimits = { nofile: 1, nproc: 1, memlock: 1 };
    const premises = {
      guests: "/g",
      sdk: "/k",
      owner,
      rlimits,
      labels: {},
      runtime: undefined,
      ca: undefined,
      gpuWay: "request",
      sockets: "/s",
      seccomp: undefined,
    } as const;
    const assignment = {
      id: "ctr_1",
      desired: "run",
      app: "a",
      deployment: "d",
      bundle: "b",
      external: [],
      spec: SPEC,
      gpus: [],
      volumes: [],
    } as const;
    const { mounts, env } = guestSandbox({ ...assignment, external: [], gpus: [], volumes: [] }, premises, {
      image: "i",
      run: "/r",
      app: "/a",
      network: { mode: "none", hosts: [], dns: [], mounts: [] },
      gpus: { way: "request", names: [] },
      gpuEnv: {},
      scratch: "/t",
      secrets: { variables: [], mounts: [] },
      packages: NO_PACKAGES,
      volumes: placed,
    });
    assert.deepEqual(mounts.filter(({ source }) => source.startsWith("/n/")), [
      { source: "/n/vol_1", target: "/data", readOnly: false },
      { source: "/n/vol_2", target: "/w", readOnly: true },
    ]);
    assert.deepEqual([env.BERTH_VOLUME_DATA, env.BERTH_VOLUME_W], ["/data", "/w"]);
    const command = ["serve", "$BERTH_VOLUME_DATA/m", "${BERTH_VOLUME_W}", "$BERTH_VOLUME_X", "$HOME"];
    assert.deepEqual(filledIn(command, { ...volumeEnv(placed), HOME: "/h" }), [
      "serve",
      "/data/m",
      "/w",
      "$BERTH_VOLUME_X",
      "$HOME",
    ]);
  });
});

describe("paths in a volume", () => {
  it("are steps down, and nothing else", () => {
    assert.deepEqual(stepsOf("/a/./b//c/"), ["a", "b", "c"]);
    for (const root of ["", ".", "/"]) assert.deepEqual(stepsOf(root), []);
    for (const path of ["..", "a/../b", "a/..", "a\0b"]) {
      assert.throws(() => stepsOf(path), /within the volume/);
    }
  });

  it("lead out by links that go up too far, or start at the root", () => {
    const stays = [["a/l", "b"], ["a/l", "../b"], ["a/b/l", "../../c"], ["l", "a/../b"], [
      "l",
      "..x",
    ]] as const;
    for (const [link, target] of stays) assert.ok(staysInside(stepsOf(link), target), `${link} → ${target}`);
    const leave = [["a/l", "/etc"], ["l", ".."], ["a/l", "../../b"], ["a/l", "../../a/b"], [
      "l",
      "a/../../b",
    ]] as const;
    for (const [link, target] of leave) assert.ok(!staysInside(stepsOf(link), target), `${link} → ${target}`);
  });
});

const volume = (some: Partial<NeedVolume> = {}): NeedVolume => ({
  name: "data",
  id: "vol_1",
  storage: "node",
  home: null,
  node: null,
  ...some,
});

describe("fit() of what mounts volumes", () => {
  const fits = (one: Partial<NeedVolume>, where: Parameters<typeof node>[0]) =>
    fit(need({ volumes: [volume(one)] }), null, node(where)) !== null;

  it("is on the node that has it; before there is one, on any that stays", () => {
    assert.ok(fits({ home: "n1" }, { id: "n1" }));
    assert.ok(fits({ home: "n1" }, { id: "n1", provision: "prov_1" }));
    assert.ok(!fits({ home: "n1" }, { id: "n2" }));
    assert.ok(fits({}, { id: "n2" }));
    assert.ok(!fits({}, { id: "n2", provision: "prov_1" }));
    assert.ok(!fits({ id: null }, {}));
  });

  it("is on any node that sees the shared path", () => {
    const nfs = { labels: { [LABEL_VOLUMES]: "nfs" } };
    assert.ok(fits({ storage: "shared" }, nfs));
    assert.ok(fits({ storage: "shared" }, { ...nfs, provision: "prov_1" }));
    assert.ok(!fits({ storage: "shared" }, {}));
    assert.ok(fits({ storage: "shared", home: "nfs" }, nfs));
    assert.ok(!fits({ storage: "shared", home: "other" }, nfs));
  });
});

describe("whyNot() of what mounts volumes", () => {
  const at = (id: string) => node({ id });
  const reasons: [string, NeedVolume[], ReturnType<typeof node>[]][] = [
    ['needs volume "data", which was deleted: make it again, or deploy without it', [volume({ id: null })], [
      at("n1"),
    ]],
    ['needs volume "data", which is on node box; that node is away', [volume({ home: "n2", node: "box" })], [
      at("n1"),
    ]],
    [
      'needs volume "data", which is on node box; that node takes no such work now',
      [volume({ home: "n2", node: "box" })],
      [at("n1"), node({ id: "n2", cordoned: true })],
    ],
    ['needs volume "data"; no node stays that could keep it', [volume()], [node({ provision: "prov_1" })]],
    ['needs volume "data"; no node has a shared path', [volume({ storage: "shared" })], [at("n1")]],
    [
      'needs volume "data"; no node that sees its shared path is up',
      [volume({ storage: "shared", home: "nfs" })],
      [node({ labels: { [LABEL_VOLUMES]: "other" } })],
    ],
    [
      'needs volumes "data" and "more"; no node has all of them',
      [volume({ home: "n1" }), volume({ name: "more", id: "vol_2", home: "n2" })],
      [at("n1"), at("n2")],
    ],
  ];
  for (const [reason, volumes, nodes] of reasons) {
    it(`says "${reason}"`, () => assert.equal(whyNot(need({ volumes }), nodes), reason));
  }

  it("says of which nodes it speaks when the one that has it is full", () => {
    const wanted = need({ gpu: parseGpu(["L4"]), volumes: [volume({ home: "n1" })] });
    const nodes = [node({ id: "n1", gpus: gpus("L4", 0) }), node({ id: "n2", gpus: gpus("L4", 1000) })];
    assert.equal(
      whyNot(wanted, nodes),
      'needs 1 × L4; largest free node has 0 (of those that have volume "data")',
    );
  });
});
