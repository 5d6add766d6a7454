import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { behind, gangRules, isMetadata, listRules, openRules } from "../../runner/engines/oci/firewall.ts";
import { gpuWay } from "../../runner/engines/oci/gpus.ts";
import { guestSandbox } from "../../runner/engines/oci/guest_sandbox.ts";
import { libpodBody } from "../../runner/engines/oci/libpod.ts";
import { NO_PACKAGES } from "../../runner/engines/oci/packages.ts";
import { rankFilter } from "../../runner/engines/oci/rank_filter.ts";
import { groupOf } from "../../runner/engines/oci/ranks.ts";
import { createBody, type Sandbox } from "../../runner/engines/oci/sandbox.ts";
import { stricterFilter } from "../../runner/engines/oci/seccomp.ts";
import { FunctionSpec } from "../../sdk/protocol.ts";

const sandbox: Sandbox = {
  image: "x:1",
  command: ["python3", "guest.py"],
  env: { A: "1=2" },
  labels: { l: "v" },
  user: "65534:65534",
  workdir: "/tmp",
  mounts: [{ source: "/a", target: "/b", readOnly: true }],
  cpu: 2,
  memoryMiB: 256,
  network: "be0",
  hosts: ["h:10.0.0.1"],
  dns: ["192.0.2.1"],
  rlimits: { nofile: 100, nproc: 200, memlock: 300 },
  seccomp: "/f.json",
  runtime: "runsc",
  gpus: { way: "libpod", names: ["nvidia.com/gpu=GPU-1"] },
};

describe("libpodBody()", () => {
  it("says the same as the shared API, and names the devices", () => {
    const { resource_limits, mounts, networks, ...body } = libpodBody(
      "n",
      createBody(sandbox),
      sandbox.gpus.names,
    );
    assert.deepEqual(resource_limits, {
      memory: { limit: 256 * 1024 ** 2, swap: 256 * 1024 ** 2 },
      cpu: { shares: 2_048, quota: 200_000, period: 100_000 },
      pids: { limit: 512 },
    });
    assert.deepEqual(mounts[0], { type: "bind", source: "/a", destination: "/b", options: ["rbind", "ro"] });
    assert.deepEqual(networks, { be0: {} });
    assert.deepEqual(body.devices, [{ path: "nvidia.com/gpu=GPU-1" }]);
    assert.deepEqual(body.env, { A: "1=2" });
    assert.deepEqual(
      [
        body.cap_drop,
        body.no_new_privileges,
        body.read_only_filesystem,
        body.seccomp_profile_path,
        body.oci_runtime,
      ],
      [["ALL"], true, true, "/f.json", "runsc"],
    );
    assert.deepEqual([body.hostadd, body.dns_server, body.netns], [["h:10.0.0.1"], ["192.0.2.1"], {
      nsmode: "bridge",
    }]);
  });
});

describe("devices of a container", () => {
  it("come with room for the processes and threads of a training on each GPU", () => {
    const limit = (...names: string[]) =>
      createBody({ ...sandbox, gpus: { way: "request", names } }).HostConfig.PidsLimit;
    assert.deepEqual([limit(), limit("0"), limit("0", "1", "2", "3")], [512, 512, 2_048]);
  });

  it("are folders that it may use, beside its GPUs, with memory to lock for them", () => {
    const shared = createBody({ ...sandbox, devices: ["/dev/infiniband"] });
    const { Devices, Ulimits } = shared.HostConfig;
    const [from, to] = ["/dev/infiniband", "/dev/infiniband"];
    assert.deepEqual(Devices, [{ PathOnHost: from, PathInContainer: to, CgroupPermissions: "rw" }]);
    assert.deepEqual(Ulimits.at(-1), { Name: "memlock", Soft: 300, Hard: 300 });
    assert.deepEqual(libpodBody("n", shared, sandbox.gpus.names).devices, [
      { path: "nvidia.com/gpu=GPU-1" },
      { path: "/dev/infiniband" },
    ]);
    assert.ok(createBody(sandbox).HostConfig.Ulimits.every(({ Name }) => Name !== "memlock"));
  });
});

describe("gpuWay()", () => {
  it("is Podman's own API, Docker's requests, or CDI where Docker knows it and has no toolkit", () => {
    const dirs = { CDISpecDirs: ["/etc/cdi"] };
    assert.equal(gpuWay({ name: "podman" }, {}), "libpod");
    assert.equal(gpuWay({ name: "docker" }, { Runtimes: { runc: {} } }), "request");
    assert.equal(gpuWay({ name: "docker" }, { Runtimes: { runc: {}, nvidia: {} }, ...dirs }), "request");
    assert.equal(gpuWay({ name: "docker" }, { Runtimes: { runc: {} }, ...dirs }), "cdi");
  });

  it("asks Docker by the words of each", () => {
    const requests = (way: "request" | "cdi", name: string) => {
      const { HostConfig } = createBody({ ...sandbox, gpus: { way, names: [name] } });
      return "DeviceRequests" in HostConfig ? HostConfig.DeviceRequests : undefined;
    };
    assert.deepEqual(requests("cdi", "nvidia.com/gpu=0"), [{
      Driver: "cdi",
      DeviceIDs: ["nvidia.com/gpu=0"],
    }]);
    assert.deepEqual(requests("request", "GPU-1"), [
      { Driver: "nvidia", DeviceIDs: ["GPU-1"], Capabilities: [["gpu", "compute", "utility"]] },
    ]);
  });
});

describe("stricterFilter()", () => {
  const filter = {
    defaultAction: "SCMP_ACT_ERRNO",
    archMap: [1],
    syscalls: [
      { names: ["read", "clone", "clone3", "unshare", "keyctl"], action: "SCMP_ACT_ALLOW", args: [] },
      { names: ["mount"], action: "SCMP_ACT_ALLOW" },
      { names: ["setns"], action: "SCMP_ACT_ERRNO", errnoRet: 1 },
    ],
  };

  it("takes namespaces, mounts and keys out of what is allowed, and leaves the rest as it is", () => {
    const stricter = JSON.parse(stricterFilter(JSON.stringify(filter)));
    assert.deepEqual(stricter.archMap, [1]);
    assert.deepEqual(stricter.syscalls.map(({ names }: { names: string[] }) => names), [["read"], ["setns"], [
      "clone",
    ]]);
    assert.equal(stricter.syscalls[2].args[0].value, 0x7e020000); // all that clone can make new, and nothing else
  });

  it("refuses a filter that allows what it does not name", () => {
    assert.throws(() => stricterFilter(JSON.stringify({ ...filter, defaultAction: "SCMP_ACT_ALLOW" })));
  });
});

describe("the rules of a gang", () => {
  const rules = gangRules("be0_be1", 1_900_000_000, { hostPorts: [5432] }).split("; ");
  const rank = rules.filter((line) => line.includes("be0_be1 rank ")).map((line) => line.split(" rank ")[1]!);

  it("judge the beginning of each connection, and answers that are not the gang's", () => {
    assert.equal(rank[0], "tcp flags & (syn | ack) != syn accept");
    const out = rules.filter((line) => line.includes("be0_be1 out ")).map((line) => line.split(" out ")[1]!);
    assert.equal(out[1], "meta skgid 1900000000 goto rank");
    const refused = out.slice(2);
    assert.deepEqual(
      refused.map((line) => /^tcp flags .* syn \| ack (ip6?) .* set rst \| ack$/.exec(line)?.[1]),
      [
        "ip",
        "ip6",
      ],
    );
  });

  it("are those of open egress, and open ports of the machine that answer for the gang, or are named", () => {
    const here = rank.filter((line) => line.startsWith("fib daddr type != unicast"));
    assert.deepEqual(here.map((line) => line.split(" ").slice(5, 8).join(" ")), [
      "meta l4proto {",
      "tcp dport 5432",
      "update @ip_asked {",
      "update @ip6_asked {",
      "meta l4proto tcp",
      "reject with icmpx",
    ]);
    for (const text of ['oifname "be*"', 'oifname "docker0"', "ct status dnat", "169.254.0.0/16"]) {
      assert.ok(rank.some((line) => line.includes(text) && line.includes("reject")), text);
    }
  });

  it("know it by a group that is nobody else's", async () => {
    const groups = await Promise.all(["gang_1", "gang_1", "gang_2"].map(groupOf));
    assert.equal(groups[0], groups[1]);
    assert.notEqual(groups[0], groups[2]);
    for (const group of groups) assert.ok(group >= 0x7000_0000 && group < 0x7800_0000, `${group}`);
  });
});

describe("guestSandbox() of a rank", () => {
  const premises = {
    guests: "/g",
    sdk: "/k",
    owner: { uid: 1, gid: 2 },
    rlimits: sandbox.rlimits,
    labels: {},
    runtime: undefined,
    ca: undefined,
    gpuWay: "request",
    sockets: "/s",
    seccomp: "/all.json",
    rankSeccomp: "/rank.json",
    nic: "eth0",
    rdma: true,
  } as const;
  const spec = FunctionSpec.parse({
    name: "f",
    kind: "function",
    body: "python",
    entry: "f.py:f",
    methods: [{ name: "f", kind: "call" }],
    env: { NCCL_SOCKET_IFNAME: "ib0" },
  });
  const made = ({ gang, group, gpus }: { gang: boolean; group?: number; gpus: string[] }) => {
    const none = { external: [], gpus: [], volumes: [] };
    const assignment = {
      id: "ctr_1",
      desired: "run",
      app: "a",
      deployment: "d",
      bundle: "b",
      spec,
      ...none,
    } as const;
    const rank = gang ? { gang: { id: "gang_1", rank: 1, size: 2 } } : {};
    const { user, seccomp, devices, env } = guestSandbox({ ...assignment, ...rank }, premises, {
      image: "i",
      run: "/r",
      app: "/a",
      scratch: "/t",
      network: { mode: "host", hosts: [], dns: [], mounts: [], ...group === undefined ? {} : { group } },
      gpus: { way: "request", names: gpus },
      gpuEnv: {},
      secrets: { variables: [], mounts: [] },
      packages: NO_PACKAGES,
      volumes: [],
    });
    return { user, seccomp, devices, nics: [env.GLOO_SOCKET_IFNAME, env.NCCL_SOCKET_IFNAME] };
  };

  it("has its group, its filter, the node's interface unless it names one, and network cards beside GPUs", () => {
    const devices = ["/dev/infiniband"], nics = ["eth0", "ib0"];
    const rank = { user: "1:7", seccomp: "/rank.json", nics };
    assert.deepEqual(made({ gang: true, group: 7, gpus: ["GPU-1"] }), { ...rank, devices });
    assert.deepEqual(made({ gang: true, group: 7, gpus: [] }), { ...rank, devices: undefined });
    const other = { user: "1:2", seccomp: "/all.json" };
    assert.deepEqual(made({ gang: true, gpus: [] }), { ...other, nics, devices: undefined }); // not guarded
    const alone = made({ gang: false, gpus: ["GPU-1"] });
    assert.deepEqual(alone, { ...other, nics: [undefined, "ib0"], devices: undefined });
  });
});

describe("rankFilter()", () => {
  it("allows common sockets by `socket` alone, and names nothing twice", () => {
    const { defaultAction, syscalls } = JSON.parse(rankFilter()) as {
      defaultAction: string;
      syscalls: { names: string[]; args: { value: number; op: string }[] }[];
    };
    assert.equal(defaultAction, "SCMP_ACT_ERRNO");
    const names = syscalls[0]!.names;
    assert.equal(new Set(names).size, names.length);
    for (const name of ["socket", "socketcall", "io_uring_setup", "clone", "unshare", "mount", "keyctl"]) {
      assert.ok(!names.includes(name), name);
    }
    const sockets = syscalls.filter(({ names }) => names.includes("socket"));
    assert.deepEqual(sockets.map(({ args }) => args.map(({ value, op }) => `${op} ${value}`)), [
      ...[1, 2, 10, 16].map((domain) => [`SCMP_CMP_EQ ${domain}`, "SCMP_CMP_LT 256"]),
    ]);
  });
});

describe("the rules of a bridge", () => {
  const lines = (rules: string) => rules.split("; ");

  it("let open egress out, but to the node, its metadata and other bridges of ours", () => {
    const rules = lines(openRules("be1", behind("be1"), { hostPorts: [5432] }));
    const into = rules.filter((line) => line.includes(" into iifname"));
    assert.deepEqual(into.map((line) => line.split('"be1" ')[1]), [
      "ct state established,related accept",
      "meta l4proto { tcp, udp } th dport 53 accept",
      "tcp dport 5432 accept",
      "meta l4proto tcp reject with tcp reset",
      "reject with icmpx type admin-prohibited",
    ]);
    assert.ok(rules.some((line) => /through .*169\.254\.0\.0\/16.*reject/.test(line)));
  });

  it("let a list lead to the ports of the node that its administrator names, and only these", () => {
    const openings = [{ address: "10.0.0.1", port: 80 }, { address: "10.0.0.1", port: 81 }];
    const rules = lines(listRules("be1", behind("be1"), openings, { hostPorts: [81] }));
    const accepts = rules.filter((line) => line.includes("daddr 10.0.0.1"));
    assert.deepEqual(accepts.map((line) => / (through|into) .* dport (\d+)/.exec(line)?.slice(1)), [
      ["through", "80"],
      ["through", "81"],
      ["into", "81"],
    ]);
  });

  it("know the addresses at which clouds hand out credentials", () => {
    for (
      const address of [
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::254",
      ]
    ) {
      assert.ok(isMetadata(address), address);
    }
    for (const address of ["10.0.0.1", "100.100.100.201", "168.63.129.160", "fd00:ec::1"]) {
      assert.ok(!isMetadata(address), address);
    }
  });
});
