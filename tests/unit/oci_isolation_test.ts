import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { isMetadata, listRules, openRules } from "../../runner/engines/oci/firewall.ts";
import { gpuWay } from "../../runner/engines/oci/gpus.ts";
import { libpodBody } from "../../runner/engines/oci/libpod.ts";
import { createBody, type Sandbox } from "../../runner/engines/oci/sandbox.ts";
import { stricterFilter } from "../../runner/engines/oci/seccomp.ts";

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
  rlimits: { nofile: 100, nproc: 200 },
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

describe("the rules of a bridge", () => {
  const lines = (rules: string) => rules.split("; ");

  it("let open egress out, but to the node, its metadata and other bridges of ours", () => {
    const rules = lines(openRules("be1", { hostPorts: [5432] }));
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
    const rules = lines(listRules("be1", openings, { hostPorts: [81] }));
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
