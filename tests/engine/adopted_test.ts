import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { FunctionSpec, Gang } from "../../sdk/protocol.ts";
import type { z } from "zod";
import { command } from "../setup/components/daemon.ts";
import { clientOf } from "../setup/components/engines.ts";
import { imageOf } from "../setup/components/registry.ts";
import { read } from "../../sdk/proc.ts";
import { onEveryEngine, type World } from "../setup/oci_world.ts";
import { assignmentOf, tsFunction } from "../setup/runner.ts";
import { RunnerProcess } from "../setup/runner_process.ts";
import { until, untilTrue } from "../setup/until.ts";

const PATIENCE_MS = 120_000;
const CALLS = 2_000;

/** Ends when there is a checkpoint "go": until then it asks for one, counts, prints and saves what it has. */
const SOURCES = {
  python: `import time
def fn(n, ctx):
  print("attempt", ctx.attempt, flush=True)
  i = 0
  while n < 0 and not ctx.cancelled.is_set() and ctx.checkpoint.load("go") is None:
    i += 1
    ctx.report({"i": i})
    print("line", i, flush=True)
    ctx.checkpoint.save(str(i).encode())
    time.sleep(0.01)
  return [n, ctx.attempt]
`,
  ts: tsFunction(`async (n, ctx) => {
  console.log("attempt", ctx.attempt);
  for (let i = 1; n < 0 && await ctx.checkpoint.load({ name: "go" }) === undefined; i++) {
    ctx.signal.throwIfAborted();
    ctx.report({ i });
    console.log("line", i);
    await ctx.checkpoint.save(new TextEncoder().encode(String(i)));
  }
  return [n, ctx.attempt];
}`),
} as const;

/** Answers with what is another in every process. */
const SERVER = `
import http.server, os, secrets
word = secrets.token_hex().encode()
class Handler(http.server.BaseHTTPRequestHandler):
  def do_GET(self):
    print("asked", self.path, flush=True)
    self.send_response(200); self.end_headers(); self.wfile.write(word)
  def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
`;

const startRunner = ({ at, registry }: World): Promise<RunnerProcess> =>
  RunnerProcess.start(
    ...["--engine", "oci", "--oci-socket", at.socket, "--pool-memory", "0"],
    ...["--deno-image", imageOf(registry.host, "deno")],
    ...["--python-image", imageOf(registry.host, "python")],
  );

type Spec = Partial<z.input<typeof FunctionSpec>>;
/** What a container has that others have not. */
interface Own {
  readonly spec?: Spec;
  readonly gang?: Gang;
}

async function want(runner: RunnerProcess, source: string, spec: Spec): Promise<void> {
  runner.api.want(await assignmentOf(runner.api, "ctr_1", source, spec));
}

/** Ids of this runner's containers in the engine. */
async function containers({ at }: World, { data }: RunnerProcess): Promise<string[]> {
  const client = clientOf(at);
  const rows = await client.containers(`berth.runner=${data}`);
  client.close();
  return rows.map(({ Id }) => Id);
}

/** What the runner has written down of the container that it was assigned. */
function noteOf({ data }: RunnerProcess): { slot: string; engineId: string } {
  for (const { name } of Deno.readDirSync(`${data}/slots`)) {
    const note = read(`${data}/slots/${name}/container.json`);
    if (note !== null) return { slot: name, engineId: JSON.parse(note).engineId };
  }
  throw new Error("It has none");
}

/** The container that it was assigned, as the engine names it; it runs. */
async function runsIn({ at }: World, runner: RunnerProcess): Promise<string> {
  const client = clientOf(at), { engineId } = noteOf(runner);
  const state = await client.inspect(engineId);
  client.close();
  assert.ok(state !== null && state.State.Pid > 0);
  return engineId;
}

/** What nft holds for it. */
async function rules(runner: RunnerProcess): Promise<string[]> {
  const { slot } = noteOf(runner);
  const tables = (await command("nft", "list", "tables")).split("\n").filter((line) => line.includes(slot));
  const listed = tables.map((line) => command("nft", "list", ...line.split(" ")));
  return (await Promise.all(listed)).map((text) => text.replace(/elements = \{[^}]*\}/g, ""));
}

/** How far the call has come that runs for ever. */
const progress = ({ api }: RunnerProcess, batch: number): number =>
  Number((api.events.get(`${batch}:0`) ?? []).at(-1)?.[5]["i"] ?? 0);

onEveryEngine("a runner that is killed, and started anew", (world) => {
  for (const body of ["python", "ts"] as const) {
    it(`goes on with a container of ${body}, and with its calls`, async () => {
      const here = await world();
      await using runner = await startRunner(here);
      const { api } = runner;
      await want(runner, SOURCES[body], { body, concurrency: 2 });
      const long = api.call("fn", [-1]), cancelled = api.call("fn", [-2]);
      await untilTrue(
        "both run",
        () => progress(runner, long) > 3 && progress(runner, cancelled) > 3,
        PATIENCE_MS,
      );
      const before = await runsIn(here, runner);
      for (let round = 0; round < 2; round++) {
        await runner.kill();
        const seen = progress(runner, long);
        await runner.restart();
        await untilTrue("it goes on", () => progress(runner, long) > seen + 5);
        assert.equal(await runsIn(here, runner), before);
      }
      api.cancel(cancelled, 0);
      assert.equal((await until("it is cancelled", () => api.endOf(cancelled) ?? null)).outcome, 2);
      const lines = () => (api.logs.get(`${long}:0`) ?? []).map(([, , , , , text]) => text);
      const printed = lines().length;
      await untilTrue("lines go on", () => lines().length > printed + 3);
      api.checkpoints.set("go", new Uint8Array([1]));
      const { value, attempt } = await until("it has ended", () => api.endOf(long) ?? null);
      assert.deepEqual([value, attempt], [[-1, 1], 1]);
      const next = api.call("fn", [7]);
      assert.deepEqual((await until("the next has ended", () => api.endOf(next) ?? null)).value, [7, 1]);
      await runner.stop();
      assert.deepEqual(await containers(here, runner), []);
    });
  }

  const networks = {
    "leads to some places": { spec: { egress: ["192.0.2.7:1"] } },
    "is the machine's, for a rank of a gang": { gang: { id: "gang_1", rank: 0, size: 2 } },
  };
  for (const [what, { spec, gang }] of Object.entries<Own>(networks)) {
    it(`keeps the rules of a network that ${what}`, async () => {
      const here = await world();
      await using runner = await startRunner(here);
      const { api } = runner;
      api.master = { address: "127.0.0.1", port: 29_500 };
      const assignment = await assignmentOf(api, "ctr_1", "def fn(n): return n\n", {
        body: "python",
        ...spec,
      });
      api.want(gang === undefined ? assignment : { ...assignment, gang });
      const call = async (n: number) => {
        const batch = api.call("fn", [n]);
        return (await until("its call has ended", () => api.endOf(batch) ?? null, PATIENCE_MS)).value;
      };
      assert.equal(await call(1), 1);
      const before = [await rules(runner), await runsIn(here, runner)];
      assert.match(before[0]!.toString(), /reject/);
      await runner.kill();
      await runner.restart();
      assert.equal(await call(2), 2);
      assert.deepEqual([await rules(runner), await runsIn(here, runner)], before);
      const { data } = runner, { slot } = noteOf(runner);
      await runner.stop();
      assert.doesNotMatch(await command("nft", "list", "tables"), new RegExp(slot), data);
    });
  }

  it("does again what came to nothing, once", async () => {
    const here = await world();
    await using runner = await startRunner(here);
    const { api } = runner;
    await want(runner, tsFunction("(n) => n"), { concurrency: 4 });
    const first = api.call("fn", [1]);
    await until("it is warm", () => api.endOf(first) ?? null, PATIENCE_MS);
    const before = await runsIn(here, runner);
    const batch = api.call("fn", Array.from({ length: CALLS }, (_, i) => i));
    await until("some have ended", () => api.endOf(batch, 50) ?? null);
    await runner.kill();
    await runner.restart();
    const ends = await until("all have ended", () => api.endsOf(batch, CALLS)); // none twice
    assert.deepEqual(ends.map(({ value }) => value), Array.from({ length: CALLS }, (_, i) => i));
    assert.equal(await runsIn(here, runner), before);
  });

  it("goes on with a server, which answers all the time", async () => {
    const here = await world();
    await using runner = await startRunner(here);
    const { api } = runner;
    await want(runner, SERVER, {
      body: "server",
      methods: [{ name: "fn", kind: "endpoint", endpoint: { name: "fn" } }],
      image: { ref: imageOf(here.registry.host, "python") },
      server: { command: ["python3", "server.ts"], health: { path: "/" } },
    });
    const address = () => api.observed.get("ctr_1")?.address ?? null;
    const place = await until("it is ready", address, PATIENCE_MS);
    const ask = async (path: string) => (await fetch(`http://${place}${path}`)).text();
    const first = await ask("/first");
    const before = await runsIn(here, runner);
    await runner.kill();
    assert.equal(await ask("/alone"), first);
    await runner.restart();
    const lines = () => api.containerLogs.get("ctr_1") ?? [];
    const goesOn = async () => await ask("/again") === first && lines().includes("stdout: asked /again");
    await untilTrue("its lines go on", goesOn);
    assert.deepEqual([address(), await runsIn(here, runner)], [place, before]);
    api.want();
    await untilTrue(
      "it ends when it is not wanted",
      async () => (await containers(here, runner)).length === 0,
    );
  });
});
