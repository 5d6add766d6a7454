/** Calls and requests on two engines and three nodes, while everything that can be killed is killed; then nothing is left. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { connect, type Sql } from "../../scheduler/store/connect.ts";
import { auditOf } from "../setup/audit.ts";
import { startDocker } from "../setup/components/docker.ts";
import type { TestEngine } from "../setup/components/engine.ts";
import { testEngines } from "../setup/components/engines.ts";
import { startPodman } from "../setup/components/podman.ts";
import { imageOf } from "../setup/components/registry.ts";
import { JoinedNode } from "../setup/joined_node.ts";
import { Callers, Visitors } from "../setup/load.ts";
import { withoutEngines } from "../setup/machine.ts";
import { Platform } from "../setup/platform.ts";
import { partsOf, processes } from "../setup/processes.ts";
import { Traces } from "../setup/traces.ts";
import { until, untilTrue } from "../setup/until.ts";

/** One with a network of its own and rules for it, one without. Starts fail while an engine is away. */
const APP = `
import { App } from "berth";
const app = new App("chaos");
const options = {
  concurrency: 4, memory: 128, startTimeout: "2m", scale: { max: 3, scaledownWindow: "1s" },
  retries: { max: 100, backoff: "100ms", maxBackoff: "1s", on: ["start_failed"] },
} as const;
export const square = app.function(options, async (n: number) => {
  await new Promise((resolve) => setTimeout(resolve, 150));
  return n * n;
});
export const cube = app.python<number, number>("cube.py:cube", { ...options, egress: ["192.0.2.9:9"] });
export const echo = app.endpoint({ ...options, auth: "public" }, (request) => new Response(new URL(request.url).search));
`;
const CUBE = "import time\ndef cube(n):\n  time.sleep(0.15)\n  return n ** 3\n";
/** Of a node: three containers, so that it takes all nodes to have those of three functions. */
const ROOM = ["--cpu", "0.375"];
const PATIENCE_MS = 120_000;

describe("Docker and Podman while everything is killed in turn", { skip: withoutEngines }, () => {
  it("end each call once with the right result, and leave nothing behind", async () => {
    await using world = await World.create();
    const { docker, podman, nodes: [first, second, third] } = world;
    const squares = new Callers(() => world.platform, "chaos", "square");
    const cubes = new Callers(() => world.platform, "chaos", "cube");
    const visitors = new Visitors(() => world.platform, "/e/chaos/echo");
    /** Kills what works, and waits until more has ended than was on its way. */
    const survives = async (what: string, at: readonly JoinedNode[], kill: () => unknown) => {
      await world.work(at);
      const [ended, answered] = [await world.ended(), visitors.answered];
      await kill();
      const goOn = async () => await world.ended() > ended + 40 && visitors.answered > answered;
      await untilTrue(`calls and requests end after ${what} was killed`, goOn, PATIENCE_MS);
    };

    await survives("a runner on Docker", world.nodes, async () => {
      await first.kill();
      first.restart();
    });
    await survives("Podman", [second], async () => {
      await podman.kill();
      await podman.start();
    });
    await survives("the api with the scheduler", [first, second], () => world.restartPlatform());
    await survives("Docker with a runner on it", [third], async () => {
      await Promise.all([docker.kill(), third.kill()]);
      await docker.start();
      third.restart();
    });
    await survives("a runner on Podman", [second], async () => {
      await second.kill();
      second.restart();
    });
    await survives("a connection of PostgreSQL", world.nodes, () => world.killBackend());
    await survives("every container", world.nodes, async () => {
      for (const { client } of [docker, podman]) {
        for (const { Id } of await client.containers()) await client.kill(Id);
      }
    });

    await visitors.finish();
    await squares.finish((n) => n ** 2);
    await cubes.finish((n) => n ** 3);
    assert.deepEqual(await world.ask(auditOf), []);
    assert.ok(await world.ask(lastAttempt) > 1, "no kill has hit a call");
    await world.rests();
    for (const node of world.nodes) await node[Symbol.asyncDispose]();
    await world.empties();
  });
});

/** A platform without a node of its own; two nodes on a Docker, one on a Podman. */
class World implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;

  private constructor(
    readonly docker: TestEngine,
    readonly podman: TestEngine,
    readonly nodes: readonly [JoinedNode, JoinedNode, JoinedNode],
    readonly traces: Traces,
    public platform: Platform,
    stack: AsyncDisposableStack,
  ) {
    this.#stack = stack;
  }

  static async create(): Promise<World> {
    await using stack = new AsyncDisposableStack();
    const { registry } = await testEngines();
    const engines = await Promise.all([startDocker(), startPodman([registry.host])]);
    for (const engine of engines) stack.defer(() => engine.stop());
    const [docker, podman] = engines;
    const platform = await Platform.up({ args: ["--no-runner"] });
    const data = ["n0", "n1", "n2"].map((name) => `${platform.dir}/${name}`);
    const traces = stack.use(await Traces.watch(engines, data));
    await platform.post("/v1/pools", { name: "room", provider: "static" });
    const images = {
      BERTH_DENO_IMAGE: imageOf(registry.host, "deno"),
      BERTH_PYTHON_IMAGE: imageOf(registry.host, "python"),
    };
    const join = (name: string, { socket }: TestEngine) => {
      const env = { BERTH_ENGINE: "oci", BERTH_OCI_SOCKET: socket, ...images };
      return JoinedNode.start(platform, "room", name, { env, args: ROOM });
    };
    const nodes = await Promise.all([join("n0", docker), join("n1", podman), join("n2", docker)]);
    await platform.deploy(APP, "app.ts", { "cube.py": CUBE });
    return new World(docker, podman, nodes, traces, platform, stack.move());
  }

  /** `kill -9`, and again at the same place. */
  async restartPlatform(): Promise<void> {
    const { dir, url } = this.platform;
    this.platform.kill("SIGKILL");
    await this.platform.status;
    this.platform = await Platform.up({ dir, port: Number(new URL(url).port), args: ["--no-runner"] });
  }

  /** One of the processes that serve connections. The server then ends all of them. */
  killBackend(): void {
    const [server] = partsOf(this.platform.pid).postgres;
    const backend = processes().find(({ parent, command }) =>
      parent === server && /^postgres: postgres /.test(command)
    );
    Deno.kill(backend!.pid, "SIGKILL");
  }

  /** Asks the database, which may be coming back. */
  async ask<T>(question: (sql: Sql) => Promise<T>): Promise<T> {
    const { dir } = this.platform;
    return await until("the database answers", async () => {
      const server = processes().find(({ command }) => command.includes(`/postgres -D ${dir}/data/`));
      const port = / -p (\d+) /.exec(server?.command ?? "")?.[1];
      if (port === undefined) return null;
      const sql = connect(`postgres://postgres@127.0.0.1:${port}/postgres`, { max: 1, name: "test" });
      try {
        return await question(sql);
      } catch {
        return null;
      } finally {
        await sql.end({ timeout: 1 });
      }
    }, PATIENCE_MS);
  }

  ended(): Promise<number> {
    return this.ask(async (sql) => {
      const [row] = await sql<{ count: number }[]>`select count(*)::int as count from result`;
      return row!.count;
    });
  }

  /** Waits until each of these nodes has calls. */
  async work(nodes: readonly JoinedNode[]): Promise<void> {
    for (const { name } of nodes) {
      await untilTrue(`node ${name} works`, () =>
        this.ask(async (sql) => {
          const [row] = await sql<{ found: boolean }[]>`
          select exists (
            select from lease
            join container on container.id = lease.container_id and container.exited_at is null
            join node on node.id = container.node_id and node.name = ${name}
            where lease.remaining > 0
          ) as found`;
          return row!.found;
        }), PATIENCE_MS);
    }
  }

  /** Waits until no container has anything to do. */
  async rests(): Promise<void> {
    await untilTrue("all containers have gone", async () => {
      const { status, body } = await this.platform.ask<{ items: unknown[] }>("/v1/containers?live=true");
      return status === 200 && body.items.length === 0;
    }, PATIENCE_MS);
  }

  /** Waits until nothing is left of any container. */
  async empties(): Promise<void> {
    let left: string[] = [];
    const isEmpty = async () => (left = await this.traces.left()).length === 0;
    await untilTrue("nothing is left", isEmpty, PATIENCE_MS).catch((error) =>
      assert.fail(`${error.message}:\n${left.join("\n")}`)
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) await node[Symbol.asyncDispose]();
    await this.platform[Symbol.asyncDispose]();
    await this.#stack.disposeAsync();
  }
}

async function lastAttempt(sql: Sql): Promise<number> {
  const [row] = await sql<{ attempt: number }[]>`select max(attempt) as attempt from lease`;
  return row!.attempt;
}
