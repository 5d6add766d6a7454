import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { parseDockerConfig, registryAuth } from "../../runner/engines/oci/credentials.ts";
import type { Assignment } from "../../sdk/protocol.ts";
import { parseDestination } from "../../sdk/destination.ts";
import type { Engine, StartContext } from "../../runner/engine.ts";
import { ManualClock } from "../setup/manual_clock.ts";
import { Engines } from "../../runner/engines/choice.ts";
import { withEgress } from "../../runner/engines/deno_args.ts";
import { parseCgroups } from "../../runner/engines/oci/cgroup.ts";
import { exitOf } from "../../runner/engines/oci/exit.ts";
import { translated } from "../../runner/engines/oci/host_files.ts";
import { saysOutOfMemory } from "../../runner/engines/oci/kernel.ts";
import { staleOnes } from "../../runner/engines/stale.ts";
import { Demux } from "../../runner/engines/oci/demux.ts";
import { MarkFilter, newMark } from "../../runner/engines/oci/marks.ts";
import { PullProgress } from "../../runner/engines/oci/progress.ts";
import { formatReference, parseReference } from "../../sdk/image_reference.ts";
import { byFolder } from "../../runner/engines/oci/secrets.ts";
import { createBody, parseLimits, type Sandbox } from "../../runner/engines/oci/sandbox.ts";

const DIGEST = `sha256:${"0f".repeat(32)}`;

describe("parseReference()", () => {
  it("names the registry, the path and the tag of what is written short", () => {
    const written = {
      "python": "docker.io/library/python:latest",
      "python:3.12-slim": "docker.io/library/python:3.12-slim",
      "vllm/vllm-openai:v0.6": "docker.io/vllm/vllm-openai:v0.6",
      "127.0.0.1:5000/x:1": "127.0.0.1:5000/x:1",
      "localhost/x": "localhost/x:latest",
      "ghcr.io/team/app/train": "ghcr.io/team/app/train:latest",
      [`ghcr.io/team/app@${DIGEST}`]: `ghcr.io/team/app@${DIGEST}`,
      [`ghcr.io/team/app:2@${DIGEST}`]: `ghcr.io/team/app@${DIGEST}`,
    };
    for (const [text, whole] of Object.entries(written)) {
      assert.equal(formatReference(parseReference(text)), whole);
    }
  });

  it("refuses what names no image", () => {
    for (
      const text of ["", "Python", "a//b", "x:", "x@sha256:12", "a b", "../x", "host:1/", "x?tag=1", "x#"]
    ) {
      assert.throws(() => parseReference(text), /Cannot read image/, text);
    }
  });
});

describe("parseDockerConfig()", () => {
  const decode = (text: string) =>
    JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(text, { alphabet: "base64url" })));

  it("reads what docker login writes", () => {
    const credentials = parseDockerConfig(JSON.stringify({
      auths: {
        "127.0.0.1:5001": { auth: btoa("ci:s3:cret") },
        "https://index.docker.io/v1/": { username: "u", password: "p" },
        "ghcr.io": { identitytoken: "token" },
      },
    }));
    assert.deepEqual(credentials.get("127.0.0.1:5001"), { username: "ci", password: "s3:cret" });
    assert.deepEqual(credentials.get("docker.io"), { username: "u", password: "p" });
    assert.deepEqual(credentials.get("ghcr.io"), { identityToken: "token" });
    assert.equal(decode(registryAuth("ghcr.io", credentials.get("ghcr.io"))).identitytoken, "token");
  });

  it("sends an empty object to registries that it knows nothing of", () => {
    assert.deepEqual(decode(registryAuth("quay.io", undefined)), {});
  });

  it("says what is wrong with a file", () => {
    assert.throws(() => parseDockerConfig("{"), /Cannot read the registries' credentials/);
    assert.throws(() => parseDockerConfig('{"auths":{"a":{"auth":"?"}}}'), /auth/);
  });
});

describe("Demux", () => {
  const frame = (stream: number, text: string) => {
    const body = new TextEncoder().encode(text);
    const bytes = new Uint8Array(8 + body.length);
    bytes[0] = stream;
    new DataView(bytes.buffer).setUint32(4, body.length);
    bytes.set(body, 8);
    return bytes;
  };

  it("puts frames together however they were cut", () => {
    const bytes = new Uint8Array(
      [frame(1, "hello"), frame(2, "warning"), frame(1, ""), frame(1, " world")].flatMap((f) => [...f]),
    );
    for (let size = 1; size <= bytes.length; size++) {
      const demux = new Demux(), told = { stdout: "", stderr: "" };
      for (let at = 0; at < bytes.length; at += size) {
        for (const [stream, piece] of demux.push(bytes.subarray(at, at + size))) {
          told[stream] += new TextDecoder().decode(piece);
        }
      }
      assert.deepEqual(told, { stdout: "hello world", stderr: "warning" }, `pieces of ${size}`);
    }
  });
});

describe("PullProgress", () => {
  it("tells the sum over layers, now and then", () => {
    const progress = new PullProgress("x");
    const at = (id: string, current: number) =>
      progress.push({ status: "Downloading", id, progressDetail: { current, total: 50e6 } });
    assert.equal(at("a", 1e6), null);
    assert.equal(at("a", 25e6), "Pulling x: 25 of 50 MB");
    assert.equal(at("a", 30e6), null);
    assert.equal(at("a", 50e6), "Pulling x: 50 of 50 MB");
    assert.equal(
      progress.push({ status: "Extracting", id: "a", progressDetail: { current: 1, total: 1 } }),
      null,
    );
  });
});

describe("createBody()", () => {
  const sandbox: Sandbox = {
    image: "x:1",
    command: ["deno", "run"],
    env: { A: "1" },
    labels: {},
    user: "65534:65534",
    workdir: "/tmp",
    mounts: [{ source: "/a", target: "/b", readOnly: true }],
    cpu: 0.125,
    memoryMiB: 256,
    network: "none",
    hosts: [],
    dns: [],
    rlimits: { nofile: 100, nproc: 200, memlock: 300 },
    gpus: { way: "request", names: [] },
  };

  it("grants nothing that is not asked for", () => {
    const { HostConfig, User, Entrypoint, Cmd } = createBody(sandbox);
    assert.deepEqual([User, Entrypoint, Cmd], ["65534:65534", ["deno"], ["run"]]);
    assert.deepEqual(HostConfig.CapDrop, ["ALL"]);
    assert.deepEqual(HostConfig.SecurityOpt, ["no-new-privileges"]);
    assert.equal(HostConfig.ReadonlyRootfs, true);
    assert.equal(HostConfig.MemorySwap, HostConfig.Memory);
    assert.deepEqual(HostConfig.Binds, ["/a:/b:ro"]);
    assert.equal("DeviceRequests" in HostConfig, false);
  });

  it("is sure of its cores and may have one whole when there is one", () => {
    const { CpuShares, NanoCpus } = createBody(sandbox).HostConfig;
    assert.deepEqual([CpuShares, NanoCpus], [128, 1e9]);
    assert.equal(createBody({ ...sandbox, cpu: 3.5 }).HostConfig.NanoCpus, 3.5e9);
  });
});

describe("parseLimits()", () => {
  it("reads hard limits, and bounds those that have none", () => {
    const text = "Max processes             unlimited            unlimited            processes\n" +
      "Max open files            1024                 20000                files\n" +
      "Max locked memory         8388608              unlimited            bytes\n";
    assert.deepEqual(parseLimits(text), { nofile: 20_000, nproc: 32_768, memlock: 2 ** 53 - 1 });
  });
});

describe("exitOf()", () => {
  const ended = { code: 0, outOfMemory: false, bereft: false, memoryMiB: 64 };

  it("reads signals from the code of the first process", () => {
    assert.deepEqual(exitOf({ ...ended, code: 3 }), { code: 3, signal: null });
    assert.deepEqual(exitOf({ ...ended, code: 134 }), { code: 134, signal: "SIGABRT" });
    assert.deepEqual(exitOf({ ...ended, code: 137 }), { code: 137, signal: "SIGKILL" });
  });

  it("knows better when memory ran out, or the engine went away", () => {
    assert.equal(exitOf({ ...ended, code: 137, outOfMemory: true }).known?.kind, "out_of_memory");
    assert.equal(exitOf({ ...ended, code: 143, bereft: true }).known?.kind, "node_lost");
    assert.equal(exitOf({ ...ended, code: 0, bereft: true }).known, undefined);
  });
});

describe("saysOutOfMemory()", () => {
  it("finds the container in what the kernel says of a kill", () => {
    const log =
      "[1.0] oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/libpod_parent/libpod-abc,task=python3\n[2.0] other def";
    assert.equal(saysOutOfMemory(log, "abc"), true);
    assert.equal(saysOutOfMemory(log, "def"), false);
  });
});

describe("parseCgroups()", () => {
  it("reads both versions", () => {
    const groups = parseCgroups("4:cpu,cpuacct:/docker/a\n3:memory:/docker/a\n0::/system\n");
    assert.deepEqual([groups.get("cpuacct"), groups.get("memory"), groups.get("")], [
      "/docker/a",
      "/docker/a",
      "/system",
    ]);
  });
});

describe("staleOnes()", () => {
  const images = {
    old: { usedAt: 1, bytes: 2 * 1024 ** 2 },
    used: { usedAt: 0, bytes: 1024 ** 2 },
    new: { usedAt: 2, bytes: 1024 ** 2 },
  };
  const inUse = (name: string) => name === "used";

  it("gives up the least recently used, as few as it takes, and none that is used", () => {
    assert.deepEqual(staleOnes(images, 4, inUse), []);
    assert.deepEqual(staleOnes(images, 3, inUse), ["old"]);
    assert.deepEqual(staleOnes(images, 0, inUse), ["old", "new"]);
  });
});

describe("parseDestination()", () => {
  it("reads names and addresses with a port, and nothing else", () => {
    assert.deepEqual(parseDestination("models.example:443"), { host: "models.example", port: 443 });
    assert.deepEqual(parseDestination("[2001:db8::1]:80"), { host: "2001:db8::1", port: 80 });
    for (
      const text of [
        "models.example",
        "models.example:0",
        "models.example:65536",
        "https://models.example:443",
        "a b:1",
        "*.org:443",
        ":1",
        "-a:1",
      ]
    ) {
      assert.equal(parseDestination(text), null, text);
    }
  });
});

describe("withEgress()", () => {
  const permissions = { net: true, run: true, read: ["/a"] };

  it("leaves permissions alone when the egress is open", () => {
    assert.deepEqual(withEgress({ permissions, egress: "open" }), permissions);
  });

  it("gives no more of the network than the egress allows, and nothing that would get around it", () => {
    assert.deepEqual(withEgress({ permissions, egress: "deny" }), {
      net: false,
      run: false,
      ffi: false,
      read: ["/a"],
    });
    const egress = ["a.org:443", "b.org:80"];
    assert.deepEqual(withEgress({ permissions, egress }).net, egress);
    assert.deepEqual(withEgress({ permissions: { net: ["a.org", "b.org:443"] }, egress }).net, ["a.org:443"]);
    assert.deepEqual(withEgress({ permissions: {}, egress }).net, []);
  });
});

describe("Engines", () => {
  const engineCalled = (name: string, started: string[]): Engine => ({
    start: () => (started.push(name), Promise.reject(new Error(name))),
    settled: () => {},
    close: () => Promise.resolve(),
  });

  it("runs what names an image in containers, and the rest as processes where it may", async () => {
    const started: string[] = [];
    const [oci, process] = [engineCalled("oci", started), engineCalled("process", started)];
    const assignment = (image?: { ref: string }) => ({ spec: { image } }) as Assignment;
    const context = {} as StartContext;
    const clock = new ManualClock();
    await assert.rejects(new Engines({ oci, process, clock }).start(assignment({ ref: "x" }), context));
    await assert.rejects(new Engines({ oci, process, clock }).start(assignment(), context));
    await assert.rejects(new Engines({ oci, process: null, clock }).start(assignment(), context));
    assert.deepEqual(started, ["oci", "process", "oci"]);
  });

  it("finds an engine that came later, and fails when that can't be used", async () => {
    const clock = new ManualClock(), over = new AbortController();
    const oci = { ...engineCalled("oci", []), containers: { away: null, only: true } };
    const process = engineCalled("process", []);
    const found = [null, oci];
    const engines = new Engines({ oci: null, process, clock, find: () => Promise.resolve(found.shift()!) });
    let changes = 0;
    const watching = engines.watch(over.signal, () => changes++);
    await clock.advance(10_000);
    assert.equal(engines.containers, undefined);
    await clock.advance(10_000);
    await watching;
    assert.deepEqual([engines.containers, changes], [{ away: null, only: false }, 1]);

    const unfit = new Engines({ oci: null, process, clock, find: () => Promise.reject(new TypeError("no")) });
    const failing = assert.rejects(unfit.watch(over.signal, () => {}), /no/);
    await clock.advance(10_000);
    await failing;
  });
});

describe("byFolder()", () => {
  it("puts secrets that share a folder together, with the later value of a key, and leaves variables out", () => {
    const folders = byFolder([
      { name: "hf", as: "env", values: { TOKEN: "t" } },
      { name: "db", as: "files", path: "/run/secrets", values: { USER: "ann", PASSWORD: "p" } },
      { name: "more", as: "files", path: "/run/secrets", values: { USER: "bob" } },
      { name: "plain", as: "files", values: { CERT: "c" } },
    ]);
    assert.deepEqual([...folders].map(([folder, { values }]) => [folder, values]), [
      ["/run/secrets", { USER: "bob", PASSWORD: "p" }],
      ["/berth/secrets/plain", { CERT: "c" }],
    ]);
  });
});

describe("translated()", () => {
  it("gives JavaScript with its lines where they were, and what it imports", () => {
    const text = `import type { A } from "./a.ts";
import { type B, c } from "../c.ts";
export * from "./d.ts";
interface E {
  f: number;
}
export const g = async (e: E) => (await import("./h.ts")).i(e!.f, c as B);
`;
    const { code, imports } = translated(text, "sdk/x/y.ts");
    assert.deepEqual(imports, ["sdk/c.ts", "sdk/x/d.ts", "sdk/x/h.ts"]);
    const lines = code.split("\n").map((line) => line.replaceAll(/ +/g, " ").trim());
    assert.equal(lines[1], 'import { c } from "../c.js";');
    assert.equal(lines[2], 'export * from "./d.js";');
    assert.equal(lines[6], 'export const g = async (e ) => (await import("./h.js")).i(e .f, c );');
    assert.deepEqual([lines[0], ...lines.slice(3, 6)], ["", "", "", ""]);
  });
});

describe("MarkFilter", () => {
  const mark = newMark({ bytes: (length) => new Uint8Array(length).map((_, i) => 2 * i) });
  const bytes = (...parts: (string | Uint8Array)[]) =>
    new Uint8Array(
      parts.flatMap((part) => [...typeof part === "string" ? new TextEncoder().encode(part) : part]),
    );

  /** What is given back, with `|` where a mark was seen. */
  function filtered(all: Uint8Array<ArrayBuffer>, size: number): string {
    let text = "";
    const latin = (piece: Uint8Array) => String.fromCharCode(...piece);
    const filter = new MarkFilter(mark, () => text += "|");
    for (let at = 0; at < all.length; at += size) {
      for (const piece of filter.push(all.slice(at, at + size))) text += latin(piece);
    }
    return text + latin(filter.rest());
  }

  it("takes marks out however they were cut, and nothing else", () => {
    const begun = mark.slice(0, 9);
    const all = bytes("a", mark, "b\0c", mark, mark, begun, "d", begun, mark, "\0", begun);
    const clear = (part: Uint8Array) => String.fromCharCode(...part);
    const expected = `a|b\0c||${clear(begun)}d${clear(begun)}|\0${clear(begun)}`;
    for (let size = 1; size <= all.length; size++) {
      assert.equal(filtered(all, size), expected, `pieces of ${size}`);
    }
  });
});
