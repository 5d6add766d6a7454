/** Gangs of three real nodes: runners of their own, joined to one platform, that meet over TCP. */
import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import type { Call, Container, LogItem, Node } from "../../sdk/protocol.ts";
import { JoinedNode } from "../setup/joined_node.ts";
import { withoutPython } from "../setup/machine.ts";
import { Platform } from "../setup/platform.ts";
import { until } from "../setup/until.ts";

/** All ranks tell all others their pid, step by step; the first two attempts never come to an end by themselves. */
const APP = `
import { App } from "berth";
const app = new App("gangs");
const options = { nodes: 3, permissions: { net: true }, scale: { scaledownWindow: "60s" } };

async function* lines(conn: Deno.Conn) {
  let rest = "";
  for await (const text of conn.readable.pipeThrough(new TextDecoderStream())) {
    const [last, ...whole] = (rest + text).split("\\n").reverse();
    rest = last!;
    yield* whole.reverse();
  }
}
const write = (conn: Deno.Conn, value: unknown) => conn.write(new TextEncoder().encode(JSON.stringify(value) + "\\n"));
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export const train = app.function(options, async ({ endless }: { endless: number }, ctx) => {
  const { masterAddress: hostname, masterPort: port } = ctx.gang!;
  const conns: Deno.Conn[] = [];
  const close = () => {
    for (const conn of conns) try { conn.close(); } catch { /* its other end did */ }
  };
  ctx.signal.addEventListener("abort", close);
  if (ctx.rank === 0) {
    using listener = Deno.listen({ port });
    while (conns.length < ctx.worldSize - 1) conns.push(await listener.accept());
  }
  while (conns.length === 0) {
    await Deno.connect({ hostname, port }).then((conn) => conns.push(conn), () => sleep(20));
  }
  ctx.log("pid " + Deno.pid); // all have met once rank 0 says so
  const readers = conns.map(lines);
  const next = async (reader: AsyncIterator<string>) => JSON.parse((await reader.next()).value);
  let pids: number[] = [];
  for (let step = 0; step < 5 || ctx.attempt <= endless; step++) {
    if (ctx.rank > 0) {
      await write(conns[0]!, [ctx.rank, Deno.pid]);
      pids = await next(readers[0]!);
    } else {
      const all = [[0, Deno.pid], ...await Promise.all(readers.map(next))];
      pids = all.sort(([a], [b]) => a - b).map(([, pid]) => pid);
      for (const conn of conns) await write(conn, pids);
      ctx.report({ step });
    }
    await sleep(20);
  }
  if (ctx.rank === 0) await sleep(50); // the others hear the last word
  close();
  return { attempt: ctx.attempt, pids };
});

export const env = app.python<null, string[][]>("env.py:meet", options);
`;

const PYTHON = `
import json, os, socket, time

NAMES = ["RANK", "WORLD_SIZE", "LOCAL_RANK", "NODE_RANK", "NNODES"]

def meet(_, ctx):
    mine = [os.environ[name] for name in NAMES] + [ctx.rank, ctx.world_size]
    address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    assert address == tuple(ctx.gang)
    if ctx.rank > 0:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(address) as peer:
                    peer.sendall(json.dumps(mine).encode())
                return "of rank %d" % ctx.rank
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise TimeoutError("rank 0 does not listen")
    all = [mine]
    with socket.create_server(("", address[1])) as server:
        while len(all) < ctx.world_size:
            with server.accept()[0] as peer:
                all.append(json.loads(peer.makefile().read()))
    return sorted(all)
`;

describe("a gang of three nodes", () => {
  let platform: Platform;
  const nodes: JoinedNode[] = [];
  before(async () => {
    platform = await Platform.up({ args: ["--no-runner"] });
    await platform.post("/v1/pools", { name: "room", provider: "static" });
    for (const name of ["n0", "n1", "n2"]) nodes.push(await JoinedNode.start(platform, "room", name));
    await platform.deploy(APP, "app.ts", { "env.py": PYTHON });
  });
  after(async () => {
    await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
    await platform[Symbol.asyncDispose]();
  });

  const start = async (name: string, input: unknown): Promise<string> => {
    const { body } = await platform.post<{ calls: { id: string }[] }>(
      `/v1/apps/gangs/functions/${name}/calls`,
      { input },
    );
    return body.calls[0]!.id;
  };
  /** The processes of an attempt by rank, when all have said which they are. */
  const pidsOf = (id: string, attempt: number): Promise<number[]> =>
    until(`all ranks run attempt ${attempt}`, async () => {
      const logs = (await platform.all<LogItem>(`/v1/calls/${id}/logs`)).filter((one) =>
        one.attempt === attempt
      );
      const pids = [0, 1, 2].map((rank) => {
        const said = logs.find(({ text }) => text.startsWith(rank === 0 ? "pid " : `[rank ${rank}] pid `));
        return Number(said?.text.split(" ").at(-1));
      });
      const { body } = await platform.ask<Call>(`/v1/calls/${id}`);
      assert.equal(body.endedAt, null, JSON.stringify(body.failure));
      return pids.every(Number.isFinite) ? pids : null;
    });

  it("runs a call on all of them, and says which rank said what", async () => {
    const call = await platform.ended(await start("train", { endless: 0 }));
    assert.equal(call.state, "succeeded", JSON.stringify(call.failure));
    const { pids } = call.result as { pids: number[] };
    assert.equal(new Set(pids).size, 3);
    const containers = (await platform.all<Container>("/v1/containers")).filter((one) =>
      one.function === "train"
    );
    assert.equal(new Set(containers.map(({ node }) => node)).size, 3);
  });

  it("survives a killed rank and a killed runner: only what died is started anew", async () => {
    const id = await start("train", { endless: 2 });
    const first = await pidsOf(id, 1);
    Deno.kill(first[1]!, "SIGKILL");
    const second = await pidsOf(id, 2);
    assert.deepEqual([second[0], second[2]], [first[0], first[2]]);
    assert.notEqual(second[1], first[1]);
    const victim = await nodeOf(platform, nodes, id, 2);
    await victim.kill();
    victim.restart();
    const { state, result, failure } = await platform.ended(id, 120_000);
    assert.equal(state, "succeeded", JSON.stringify(failure));
    const { attempt, pids } = result as { attempt: number; pids: number[] };
    assert.equal(attempt, 3);
    assert.deepEqual(pids.slice(0, 2), second.slice(0, 2));
    assert.notEqual(pids[2], second[2]);
  });

  it("tells Python programs of each other as torchrun does", { skip: withoutPython }, async () => {
    const call = await platform.ended(await start("env", null), 120_000);
    const known = [0, 1, 2].map((rank) => [`${rank}`, "3", "0", `${rank}`, "3", rank, 3]);
    assert.deepEqual(call.result, known, JSON.stringify(call.failure));
  });

  it("cancels every rank, and none is killed for it", async () => {
    const id = await start("train", { endless: 1 });
    const pids = await pidsOf(id, 1);
    await platform.post(`/v1/calls/${id}/cancel`, {});
    assert.equal((await platform.ended(id)).state, "cancelled");
    const next = await platform.ended(await start("train", { endless: 0 }));
    assert.deepEqual((next.result as { pids: number[] }).pids, pids);
  });
});

/** The node that has a rank of a running call's gang. */
async function nodeOf(
  platform: Platform,
  nodes: JoinedNode[],
  id: string,
  rank: number,
): Promise<JoinedNode> {
  const { items } = (await platform.ask<{ items: { kind: string; node?: string; rank?: number }[] }>(
    `/v1/calls/${id}/events`,
  )).body;
  const node = items.findLast((event) => event.kind === "started" && (event.rank ?? 0) === rank)!.node;
  const { name } = (await platform.all<Node>("/v1/nodes")).find((one) => one.id === node)!;
  return nodes[Number(name.slice(1))]!;
}
