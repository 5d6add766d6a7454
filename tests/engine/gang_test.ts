/** Ranks of gangs in containers, which have the network of the machine: they reach each other there, and nothing else of it. */
import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { OciClient } from "../../runner/engines/oci/client.ts";
import { libpodBody } from "../../runner/engines/oci/libpod.ts";
import { groupOf } from "../../runner/engines/oci/ranks.ts";
import { createBody, parseLimits } from "../../runner/engines/oci/sandbox.ts";
import { command } from "../setup/components/daemon.ts";
import { clientOf } from "../setup/components/engines.ts";
import { imageOf } from "../setup/components/registry.ts";
import { type Attempt, attempt, BODIES, callsThatWork, hostile } from "../setup/hostile.ts";
import { MEET } from "../setup/meeting.ts";
import { addressesOf, ANSWERING, listening, Neighbour } from "../setup/neighbour.ts";
import { end, exitOf, ociRunner, onEveryEngine, type World } from "../setup/oci_world.ts";
import { freePort } from "../setup/postgres.ts";
import { assignmentOf, type TestRunner } from "../setup/runner.ts";
import { RunnerProcess } from "../setup/runner_process.ts";
import { tablesOfOne } from "../setup/tables.ts";
import { untilTrue } from "../setup/until.ts";

/** Tries [KIND, HOST, PORT], and says which were not refused. */
const PROBING = `import socket
def reaches(kind, host, port):
  family = socket.AF_INET6 if ":" in host else socket.AF_INET
  with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as near:
    near.settimeout(3)
    try:
      near.connect((host, port))
      near.send(b"hello")
      return True
    except OSError:
      return False
def fn(places, ctx):
  return [place for place in places if reaches(*place)]
`;
const PATIENCE_MS = 120_000;
const RANK = { body: "python", nodes: 2 } as const;

/** A runner with a rank. */
async function rankOn(world: World, id: string, rank: number, source = MEET): Promise<TestRunner> {
  const runner = await ociRunner(world, { oci: { nic: "lo" } });
  runner.api.want({ ...await runner.assign(source, RANK), gang: { id, rank, size: 2 } });
  return runner;
}

async function groupOfCommand(client: OciClient, container: string): Promise<number> {
  const exec = await client.createExec(container, {
    command: ["id", "-g"],
    workdir: "/",
    env: {},
    tty: false,
  });
  const { stdout } = await client.startExec(exec, false);
  return Number(await new Response(stdout).text());
}

onEveryEngine("a gang in containers", (world) => {
  it("meets on one machine, on ports that it makes up, and leaves no rules", async () => {
    const here = await world();
    const id = crypto.randomUUID();
    const folders: string[] = [];
    {
      await using first = await rankOn(here, id, 0);
      await using second = await rankOn(here, id, 1);
      const runners = [first, second];
      const port = freePort();
      for (const { api } of runners) api.master = { address: "127.0.0.1", port };
      const batches = runners.map(({ api }) => api.call("fn", [null]));
      const ends = await Promise.all(runners.map((runner, i) => end(runner, batches[i]!)));
      const [group] = ends[0]!.value as [number];
      const met = [[group, "rank 1", "127.0.0.1"], [group, "rank 0", "127.0.0.1"]];
      assert.deepEqual(ends.map(({ value }) => value), met);
      folders.push(...runners.map(({ dir }) => dir));
      for (const dir of folders) assert.equal((await tablesOfOne(dir)).length, 1);
    }
    for (const dir of folders) assert.deepEqual(await tablesOfOne(dir), []);
  });

  it("leaves no rules to the next runner when its own is killed and it is given up", async () => {
    const { at, registry } = await world();
    const oci = ["--engine", "oci", "--oci-socket", at.socket, "--pool-memory", "0"];
    const image = imageOf(registry.host, "python");
    await using runner = await RunnerProcess.start(...oci, "--python-image", image);
    const { api, data } = runner;
    const assignment = await assignmentOf(api, "ctr_1", ANSWERING, RANK);
    api.want({ ...assignment, gang: { id: "gang_1", rank: 0, size: 2 } });
    const isReady = () => api.observed.get("ctr_1")?.observed === "ready";
    await untilTrue("it is ready", isReady, PATIENCE_MS);
    const before = await tablesOfOne(data);
    assert.equal(before.length, 1);
    await runner.kill();
    api.evict();
    await runner.restart();
    await untilTrue("its rules are gone", async () => !(await tablesOfOne(data)).includes(before[0]!));
    await runner.stop();
    assert.deepEqual(await tablesOfOne(data), []);
  });

  it("reaches what open egress does, its own ranks, and nothing else of the machine", async () => {
    await using neighbour = await Neighbour.start();
    using everywhere = Deno.listen({ hostname: "::", port: 0 });
    using named = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const [anyPort, namedPort] = [everywhere, named].map(({ addr }) => (addr as Deno.NetAddr).port) as [
      number,
      number,
    ];
    const here = await world();
    await using runner = await ociRunner(here, { oci: { hostPorts: [namedPort] } });
    const gang = (id: string, rank: number) => ({ gang: { id, rank, size: 2 } });
    runner.api.want(
      await runner.assign(ANSWERING, { body: "python", name: "bridged" }),
      { ...await runner.assign(ANSWERING, { ...RANK, name: "other" }), ...gang("gang_1", 0) },
      { ...await runner.assign(ANSWERING, { ...RANK, name: "mate" }), ...gang("gang_2", 0) },
      { ...await runner.assign(PROBING, RANK), ...gang("gang_2", 1) },
    );
    const placeOf = async (name: string) =>
      (await end(runner, runner.api.call(name, [null], "fn"))).value as [string, number];
    const [bridged, [, other], [, mate]] = [
      await placeOf("bridged"),
      await placeOf("other"),
      await placeOf("mate"),
    ];
    (await Deno.connect({ hostname: bridged[0], port: bridged[1] })).close(); // this machine itself may
    const own = addressesOf();
    assert.ok(own.length > 1, own.join(" "));
    const ports = (await listening()).filter((port) => ![mate, namedPort, 53].includes(port));
    for (const port of [anyPort, other, Number(new URL(runner.api.origin).port)]) {
      assert.ok(ports.includes(port));
    }
    const hosts = ["127.0.0.1", "127.0.0.2", "::1", ...own.filter((host) => !host.includes("%"))];
    const split = (place: string) => [place.split(":")[0]!, Number(place.split(":")[1])] as const;
    const refused = [
      ...hosts.flatMap((host) => ports.map((port) => ["tcp", host, port])),
      ...hosts.map((host) => ["udp", host, anyPort]),
      ["udp", "224.0.0.1", 5353],
      ["tcp", ...bridged],
      ["tcp", ...split(neighbour.metadata)],
    ];
    const open = [
      ["tcp", "127.0.0.1", mate],
      ["tcp", own[0]!, mate],
      ["tcp", "127.0.0.1", namedPort],
      ["tcp", ...split(neighbour.place)],
      ["udp", ...split(neighbour.place)],
    ];
    const places = [...refused, ...open];
    assert.deepEqual((await end(runner, runner.api.call("fn", [places]))).value, open);

    const client = clientOf(here.at);
    const groups = [];
    for (const { Id } of await client.containers(`berth.runner=${runner.dir}`)) {
      const { State } = (await client.inspect(Id))!;
      if (State.Pid > 0) groups.push(await groupOfCommand(client, Id)); // others are created ahead
    }
    client.close();
    const expected = [65_534, ...await Promise.all(["gang_1", "gang_2", "gang_2"].map(groupOf))];
    assert.deepEqual(groups.sort(), expected.sort(), "commands beside a rank are held as it is");
  });

  for (const body of BODIES) {
    it(`is refused by the kernel what others are, and sockets that would not be known for its own (${body})`, async () => {
      await using runner = await ociRunner(await world());
      const [source, spec] = hostile(body);
      runner.api.want({
        ...await runner.assign(source, { ...spec, nodes: 2 }),
        gang: { id: "gang_1", rank: 1, size: 2 },
      });
      assert.deepEqual(await callsThatWork(runner), []);
      const socket = (...args: number[]): Attempt => ({ do: "call", n: 41, args });
      const above = 2 ** 32; // the kernel looks at 32 bits of each
      const [stream, datagram] = [1, 2];
      const common = [
        socket(1, stream, 0),
        socket(2, stream, 6),
        socket(10, datagram, 17),
        socket(16, datagram, 0),
      ];
      const others = [
        ...[0, above].map((more): Attempt => socket(2, stream, more + 262)), // MPTCP
        ...[43, 40, 38, 29, above + 43].map((family): Attempt => socket(family, stream, 0)), // SMC, VSOCK, ALG, CAN
        socket(2, 3, 1),
        { do: "call", n: 425, args: [1, 0] }, // io_uring_setup
        { do: "call", n: 106, args: [65_534] }, // setgid
      ] as const;
      const outcomes = await attempt(runner, [...common, ...others]);
      const worked = outcomes.map(([worked]) => worked);
      assert.deepEqual(
        worked,
        [...common.map(() => true), ...others.map(() => false)],
        JSON.stringify(outcomes),
      );
    });
  }

  it("is refused where its egress is not open", async () => {
    await using runner = await ociRunner(await world());
    runner.api.want({
      ...await runner.assign(MEET, { ...RANK, egress: "deny" }),
      gang: { id: "gang_1", rank: 0, size: 2 },
    });
    assert.match((await exitOf(runner, "ctr_1")).message, /`egress` must be "open", not "deny"$/);
  });

  it("is given a folder of devices, and memory to lock", async () => {
    const here = await world();
    const dir = await Deno.makeTempDir({ prefix: "berth-devices-" });
    await command("mknod", `${dir}/uverbs0`, "c", "1", "3");
    const client = clientOf(here.at);
    const rlimits = { ...parseLimits(await Deno.readTextFile("/proc/self/limits")), memlock: 2 ** 20 };
    const look = `import os, resource
print(os.listdir("${dir}"), resource.getrlimit(resource.RLIMIT_MEMLOCK))`;
    const body = createBody({
      image: imageOf(here.registry.host, "python"),
      command: ["python3", "-c", look],
      env: {},
      labels: {},
      user: "65534:65534",
      workdir: "/",
      mounts: [],
      cpu: 1,
      memoryMiB: 64,
      network: "host",
      hosts: [],
      dns: [],
      rlimits,
      gpus: { way: "libpod", names: [] },
      devices: [dir],
    });
    const name = `berth-${dir.split("-").at(-1)}`;
    const id = here.at.name === "docker"
      ? await client.create(name, body)
      : await client.createLibpod(libpodBody(name, body, []));
    try {
      const { stdout, stderr } = await client.attach(id);
      await client.start(id);
      const [said, failed] = await Promise.all([stdout, stderr].map((stream) => new Response(stream).text()));
      assert.equal(said, "['uverbs0'] (1048576, 1048576)\n", failed);
    } finally {
      await client.remove(id);
      client.close();
      await Deno.remove(dir, { recursive: true });
    }
  });
});
