import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { type FunctionSpec, ServerSpec } from "../../sdk/protocol.ts";
import type { z } from "zod";
import { imageOf } from "../setup/components/registry.ts";
import type { StartContext } from "../../runner/engine.ts";
import { realClock } from "../../sdk/ports.ts";
import { FakeApi } from "../setup/fake_api.ts";
import { exitOf, ociEngine, ociRunner, onEveryEngine, type World } from "../setup/oci_world.ts";
import { assignmentOf, type TestRunner } from "../setup/runner.ts";
import { address, drain, get } from "../setup/servers.ts";
import { untilTrue } from "../setup/until.ts";

type Spec = Partial<z.input<typeof FunctionSpec>>;

const METHODS = [{ name: "fn", kind: "endpoint" as const, endpoint: { name: "fn" } }];

/** Wants a server in the image `python` whose program is `source`; its id. */
async function want(
  runner: TestRunner,
  { registry }: World,
  source: string,
  { server, ...spec }: Omit<Spec, "server"> & { readonly server?: z.input<typeof ServerSpec> } = {},
): Promise<string> {
  const assignment = await runner.assign(source, {
    body: "server",
    methods: METHODS,
    image: { ref: imageOf(registry.host, "python") },
    startTimeout: "90s",
    ...spec,
    server: { command: ["python3", "server.ts"], ...server },
  });
  runner.api.want(...runner.api.wanted, assignment);
  return assignment.id;
}

/** A server on HOST:PORT whose GET runs `answer`, which says what the response is. */
const python = (answer: string, { host = "0.0.0.0", port = 'int(os.environ["PORT"])', more = "" } = {}) => `
import http.server, os, signal, socket, sys, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
  def do_GET(self):
    print("asked", self.path, flush=True)
    ${answer}
    self.send_response(200); self.end_headers(); self.wfile.write(str(text).encode())
  def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("${host}", ${port}), Handler)
${more}
print("listening", flush=True)
server.serve_forever()
`;

const said = (runner: TestRunner, id: string, text: string): boolean =>
  (runner.api.containerLogs.get(id) ?? []).includes(`stdout: ${text}`);

onEveryEngine("a server in a container", (world) => {
  it("serves what its image runs by itself, on a port that others have too", async () => {
    const here = await world();
    await using runner = await ociRunner(here);
    const [first, second] = [0, 1].map(() =>
      runner.assign("", {
        body: "server",
        methods: METHODS,
        image: { ref: imageOf(here.registry.host, "serving") },
        startTimeout: "90s",
        server: { port: 8_000, health: { path: "/passwd" } },
      })
    );
    const both = await Promise.all([first!, second!]);
    runner.api.want(...both);
    const places = await Promise.all(both.map(({ id }) => address(runner, id)));
    assert.notEqual(places[0], places[1]);
    for (const place of places) {
      assert.match(place, /^\d+\.\d+\.\d+\.\d+:8000$/);
      const { status, text } = await get(place, "/passwd");
      assert.deepEqual([status, text.startsWith("root:")], [200, true]);
    }
  });

  it("is told its port and its surroundings; drains by SIGTERM, and its requests may end", async () => {
    const here = await world();
    await using runner = await ociRunner(here);
    const source = python('text = os.getcwd() + os.environ["GREETING"]; time.sleep(0.5)', {
      more:
        "server.daemon_threads = False; signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())",
    });
    const id = await want(runner, here, source, { env: { GREETING: "hello" }, concurrency: 4 });
    const at = await address(runner, id);
    const answer = get(at, "/x");
    await untilTrue("it answers", () => said(runner, id, "listening"));
    assert.equal((await answer).text, "/berth/slot/apphello");
    await untilTrue("its lines have come", () => said(runner, id, "asked /x"));
    const last = get(at, "/y");
    await untilTrue("it is under way", () => said(runner, id, "asked /y"));
    drain(runner, id);
    assert.equal((await last).text, "/berth/slot/apphello");
    assert.equal((await exitOf(runner, id)).kind, "stopped");
  });

  it("is reached when its egress is denied, and reaches nothing", async () => {
    const here = await world();
    await using runner = await ociRunner(here);
    using host = Deno.listen({ hostname: "0.0.0.0", port: 0 });
    const { port } = host.addr as Deno.NetAddr;
    const source = python(
      `try: text = socket.create_connection(self.path[1:].split(":"), timeout=1)\n    except OSError as error: text = type(error).__name__`,
    );
    const at = await address(runner, await want(runner, here, source, { egress: "deny" }));
    const gateway = at.replace(/\.\d+:\d+$/, ".1");
    for (const place of [`${gateway}:${port}`, `${here.at.gateway}:${port}`]) {
      assert.match((await get(at, `/${place}`)).text, /Error|timeout/, place);
    }
  });

  it("is reached by its socket, without any network", async () => {
    const here = await world();
    await using runner = await ociRunner(here);
    const source = `import os, socket
listener = socket.socket(socket.AF_UNIX); listener.bind(os.environ["BERTH_SOCKET"]); listener.listen()
while True:
  with listener.accept()[0] as connection:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 9\\r\\nconnection: close\\r\\n\\r\\nby socket")
`;
    const spec = { egress: "deny", server: { socket: true, health: { path: "/" } } } as const;
    const at = await address(runner, await want(runner, here, source, spec));
    assert.match(at, /http\.sock$/);
    assert.equal((await get(at)).text, "by socket");
  });

  it("fails a start with what it lacks: nothing listens, or only on 127.0.0.1, or its program is missing", async () => {
    const here = await world();
    await using runner = await ociRunner(here);
    const idle = await want(runner, here, 'import time; print("loading", flush=True); time.sleep(1000)', {
      startTimeout: "3s",
    });
    const shy = await want(runner, here, python("text = 1", { host: "127.0.0.1" }), { startTimeout: "5s" });
    const missing = await want(runner, here, "", { server: { command: ["no-such-program"] } });
    const dead = await want(runner, here, 'import sys; sys.exit("no GPU here")');
    const message = async (id: string) => {
      const { kind, message } = await exitOf(runner, id);
      assert.equal(kind, "start_failed", message);
      return message;
    };
    assert.match(
      await message(idle),
      /within 3s: nothing listens on port 8000 of its container\. It printed:\n.*loading/s,
    );
    assert.match(await message(shy), /it listens on 127\.0\.0\.1 of its container.*listen on 0\.0\.0\.0/);
    assert.match(await message(missing), /ended while it started.*No such file/s);
    assert.match(await message(dead), /ended while it started \(exit code 1\).*no GPU here/s);
  });

  it("is ended when its health fails too often, and leaves nothing", async () => {
    const here = await world();
    await using runner = await ociRunner(here);
    const source = python(
      'global well; well = well and self.path != "/break"; text = time.sleep(0 if well else 9)',
      {
        more: "well = True",
      },
    );
    const health = { path: "/health", interval: "200ms", timeout: "1s", failures: 2 };
    const id = await want(runner, here, source, { server: { health }, concurrency: 4 });
    const at = await address(runner, id);
    get(at, "/break").catch(() => {});
    const { kind, message } = await exitOf(runner, id);
    assert.equal(kind, "user_error");
    assert.match(message, /failed its health check 2 times in a row: GET \/health did not answer within 1s/);
    await untilTrue("it is gone", () => runner.guests().length === 0);
  });

  it("leaves its address to nobody before the platform has heard of its end", async () => {
    const here = await world();
    await using api = FakeApi.start();
    const engine = await ociEngine(here);
    const context: StartContext = {
      signal: new AbortController().signal,
      over: Promise.resolve(),
      bundle: (digest) => Promise.resolve(api.bundles.get(digest)! as Uint8Array<ArrayBuffer>),
      secrets: [],
      registryCredential: () => Promise.resolve(undefined),
      say: () => {},
    };
    const start = async (id: string) =>
      await engine.start(
        await assignmentOf(api, id, python("text = 1"), {
          body: "server",
          methods: METHODS,
          image: { ref: imageOf(here.registry.host, "python") },
          server: { command: ["python3", "server.ts"] },
        }),
        context,
      );
    const first = await start("ctr_first");
    first.kill();
    await first.exited;
    let isThere = false;
    const starting = start("ctr_second").then((guest) => (isThere = true, guest));
    await realClock.sleep(1_000); // more than a start takes
    assert.ok(!isThere);
    first.forgotten!();
    const second = await starting;
    if (here.at.name === "docker") assert.equal(second.address, first.address);
    for (const guest of [first, second]) {
      guest.kill();
      await guest.release();
    }
    await engine.close();
  });
});
