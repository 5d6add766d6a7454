import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { FunctionSpec } from "../../sdk/protocol.ts";
import { withoutPython } from "../setup/machine.ts";
import { TestRunner } from "../setup/runner.ts";
import { address, drain, get } from "../setup/servers.ts";
import { until, untilTrue } from "../setup/until.ts";
import type { z } from "zod";

type Server = NonNullable<z.input<typeof FunctionSpec>["server"]>;
type Options = Partial<Server> & { readonly startTimeout?: string; readonly env?: Record<string, string> };

const DENO = [Deno.execPath(), "run", "-A", "--no-config", "server.ts"];
const METHODS = [{ name: "fn", kind: "endpoint" as const, endpoint: { name: "fn" } }];

/** Wants a server whose `server.ts` is `source`. */
async function want(runner: TestRunner, source: string, options: Options = {}): Promise<string> {
  const { startTimeout = "20s", env = {}, command = DENO, ...more } = options;
  const server = { command, ...more };
  const assignment = await runner.assign(source, {
    body: "server",
    methods: METHODS,
    server,
    startTimeout,
    env,
  });
  runner.api.want(...runner.api.wanted, assignment);
  return assignment.id;
}

const exit = (runner: TestRunner, id: string) =>
  until(`${id} has exited`, () => runner.api.observed.get(id)?.exit ?? null);

const SERVE = `Deno.serve({ hostname: "127.0.0.1", port: Number(Deno.env.get("PORT")) }, `;

describe("a runner with servers", () => {
  it("serves a program that listens on $PORT, and keeps what it prints", async () => {
    await using runner = await TestRunner.start();
    const id = await want(
      runner,
      `console.log("greeting", Deno.env.get("GREETING")); console.error("careful");
       ${SERVE} (request) => new Response(new URL(request.url).pathname));`,
      { env: { GREETING: "hello" } },
    );
    const at = await address(runner, id);
    assert.match(at, /^127\.0\.0\.1:\d+$/);
    assert.deepEqual(await get(at, "/a/b"), { status: 200, text: "/a/b" });
    const lines = await until("its lines have come", () => {
      const said = runner.api.containerLogs.get(id) ?? [];
      return said.length >= 3 ? said : null;
    });
    assert.ok(
      lines.includes("stdout: greeting hello") && lines.includes("stderr: careful"),
      lines.join("\n"),
    );
  });

  it("fills $PORT in, and gives each server a port of its own", { skip: withoutPython }, async () => {
    await using runner = await TestRunner.start();
    const command = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "$PORT"];
    const ids = [await want(runner, "first", { command }), await want(runner, "second", { command })];
    const places = await Promise.all(ids.map((id) => address(runner, id)));
    assert.notEqual(places[0], places[1]);
    const texts = await Promise.all(places.map((place) => get(place, "/server.ts")));
    assert.deepEqual(texts.map(({ text }) => text), ["first", "second"]);
  });

  it("serves a program that listens on $BERTH_SOCKET", async () => {
    await using runner = await TestRunner.start();
    const source = `Deno.serve({ path: Deno.env.get("BERTH_SOCKET") }, () => new Response("by socket"));`;
    const at = await address(runner, await want(runner, source, { socket: true }));
    assert.match(at, /http\.sock$/);
    assert.equal((await get(at)).text, "by socket");
  });

  it("is ready when its health answers 2xx, and not before", async () => {
    await using runner = await TestRunner.start();
    const source = `let asked = 0;
      ${SERVE} () => new Response(String(++asked), { status: asked < 4 ? 503 : 200 }));`;
    const at = await address(runner, await want(runner, source, { health: { path: "/health" } }));
    assert.equal((await get(at)).text, "5");
  });

  it("fails a start that never listens, with what it lacks and the last that it printed", async () => {
    await using runner = await TestRunner.start();
    const source = `console.log("loading weights"); setInterval(() => {}, 1000);`;
    const { kind, message } = await exit(runner, await want(runner, source, { startTimeout: "1500ms" }));
    assert.equal(kind, "start_failed");
    assert.match(
      message,
      /^It was not ready within 1500ms: nothing listens on port \d+\. It printed:\n.*loading weights/s,
    );
    await untilTrue("it is gone", () => runner.guests().length === 0);
  });

  it("fails a start whose health says no", async () => {
    await using runner = await TestRunner.start();
    const source = `${SERVE} () => new Response("no", { status: 500 }));`;
    const options = { startTimeout: "1500ms", health: { path: "/health" } };
    const { message } = await exit(runner, await want(runner, source, options));
    assert.match(message, /^It was not ready within 1500ms: GET \/health answered 500/);
  });

  it("fails a start at once when the program ends, is not there, or its port is taken", async () => {
    await using runner = await TestRunner.start();
    const died = await exit(runner, await want(runner, `console.error("no GPU here"); Deno.exit(3);`));
    assert.equal(died.kind, "start_failed");
    assert.match(died.message, /ended while it started \(exit code 3\).*no GPU here/s);
    const missing = await exit(runner, await want(runner, "", { command: ["no-such-program"] }));
    assert.equal(missing.message, 'Cannot start "no-such-program": this machine has no such program');
    using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const refused = await exit(runner, await want(runner, "", { port: taken.addr.port }));
    assert.match(refused.message, /port \d+ of this machine is in use/);
  });

  it("ends a container whose server ends, with its exit code", async () => {
    await using runner = await TestRunner.start();
    const source = `let left = 2;
      ${SERVE} () => { if (--left === 0) setTimeout(() => Deno.exit(7), 50); return new Response("ok"); });`;
    const id = await want(runner, source);
    const at = await address(runner, id);
    for (const _ of "12") assert.equal((await get(at)).text, "ok");
    const { kind, message } = await exit(runner, id);
    assert.equal(kind, "user_error");
    assert.match(message, /exit code 7/);
  });

  it("ends a container whose health fails too often in a row", async () => {
    await using runner = await TestRunner.start();
    const source = `let well = true;
      ${SERVE} (request) => {
        if (request.url.endsWith("/break")) well = false;
        return well || !request.url.endsWith("/health") ? new Response("ok") : new Promise(() => {});
      });`;
    const health = { path: "/health", interval: "100ms", timeout: "200ms", failures: 2 };
    const id = await want(runner, source, { health });
    const at = await address(runner, id);
    await get(at, "/break");
    assert.deepEqual(await exit(runner, id), {
      kind: "user_error",
      message: "The server failed its health check 2 times in a row: GET /health did not answer within 200ms",
    });
    await untilTrue("it is gone", () => runner.guests().length === 0);
  });

  for (const place of ["port", "socket"] as const) {
    it(`drains: what it answers by a ${place} may end, and then it is told to, with SIGTERM`, async () => {
      await using runner = await TestRunner.start();
      const where = place === "port" ? SERVE : `Deno.serve({ path: Deno.env.get("BERTH_SOCKET") },`;
      // It does nothing about SIGTERM, which ends it at once.
      const source = `${where} async () => {
          console.log("asked");
          await new Promise((done) => setTimeout(done, 2_000));
          return new Response("answered");
        });`;
      const id = await want(runner, source, { socket: place === "socket" });
      const answer = get(await address(runner, id));
      await untilTrue("it answers", () => asked(runner, id));
      drain(runner, id);
      assert.equal((await answer).text, "answered");
      assert.equal((await exit(runner, id)).kind, "stopped");
    });
  }

  it("drains: tells a program that has a connection for too long, which may end what it answers", async () => {
    await using runner = await TestRunner.start();
    const graceful = `const server = ${SERVE} () => new Response(new ReadableStream({
        start(controller) {
          console.log("asked");
          controller.enqueue(new TextEncoder().encode("begun "));
          Deno.addSignalListener("SIGTERM", () => {
            controller.enqueue(new TextEncoder().encode("ended"));
            controller.close();
            server.shutdown().then(() => Deno.exit(0));
          });
        },
      })));`;
    const id = await want(runner, graceful, { drain: "300ms" });
    const answer = get(await address(runner, id));
    await untilTrue("it answers", () => asked(runner, id));
    drain(runner, id);
    assert.equal((await answer).text, "begun ended");
    assert.equal((await exit(runner, id)).kind, "stopped");
  });

  it("kills a drained server that does not end within its drain time", async () => {
    await using runner = await TestRunner.start({ graceMs: 100 });
    const stubborn = `Deno.addSignalListener("SIGTERM", () => {}); ${SERVE} () => new Response("ok"));`;
    const id = await want(runner, stubborn, { drain: "300ms" });
    await address(runner, id);
    const started = performance.now();
    drain(runner, id);
    assert.equal((await exit(runner, id)).kind, "stopped");
    assert.ok(performance.now() - started < 5_000);
    await untilTrue("it is gone", () => runner.guests().length === 0);
  });
});

const asked = (runner: TestRunner, id: string): boolean =>
  (runner.api.containerLogs.get(id) ?? []).includes("stdout: asked");
