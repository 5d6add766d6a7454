import { after, before, describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Container, ContainerLog, PageOf } from "../../sdk/protocol.ts";
import { withoutPython } from "../setup/machine.ts";
import { Platform } from "../setup/platform.ts";
import { until, untilTrue } from "../setup/until.ts";

const DENO = JSON.stringify([Deno.execPath(), "run", "-A", "--no-config"]);

/** A module with one server, `fn`, that runs `server.ts`. */
const module = (app: string, options: string) => `
  import { App } from "berth";
  const app = new App("${app}");
  export const fn = app.server({
    command: [...${DENO}, "server.ts"], files: ["server.ts"], auth: "public", scale: { scaledownWindow: "5m" }, ${options}
  });`;

const serve = (handler: string) =>
  `Deno.serve({ hostname: "127.0.0.1", port: Number(Deno.env.get("PORT")) }, ${handler});`;

describe("servers", () => {
  let platform: Platform;
  before(async () => {
    platform = await Platform.up();
  });
  after(() => platform[Symbol.asyncDispose]());

  /** Deploys a server and returns where it answers. */
  const deploy = async (app: string, source: string, options = ""): Promise<string> => {
    const { endpoints } = await platform.deploy(module(app, options), "app.ts", { "server.ts": source });
    return endpoints[0]!.url;
  };
  const containers = async (app: string): Promise<Container[]> =>
    (await platform.ask<PageOf<Container>>(`/v1/containers?app=${app}`)).body.items;

  it("serve a standard program from zero, below their own root", { skip: withoutPython }, async () => {
    const { endpoints } = await platform.deploy(
      `import { App } from "berth";
       const app = new App("files");
       export const web = app.server({
         command: ["python3", "-m", "http.server", "--bind", "127.0.0.1", "$PORT"],
         files: ["page.txt"], auth: "public", concurrency: 8, health: "/page.txt",
       });`,
      "app.ts",
      { "page.txt": "a page\n" },
    );
    const url = endpoints[0]!.url;
    assert.equal(await (await fetch(`${url}/page.txt`)).text(), "a page\n");
    assert.equal((await fetch(`${url}/nothing`)).status, 404);
    assert.match(await (await fetch(url)).text(), /page\.txt/);
  });

  it("stream both ways, and speak WebSocket", async () => {
    const url = await deploy(
      "streams",
      serve(`(request) => {
        const { pathname, search } = new URL(request.url);
        if (pathname === "/chat") {
          const { socket, response } = Deno.upgradeWebSocket(request);
          socket.onmessage = ({ data }) => socket.send(data + search);
          return response;
        }
        if (pathname === "/echo") return new Response(request.body);
        if (pathname === "/prefix") return new Response(request.headers.get("x-forwarded-prefix"));
        const events = async function* () {
          for (let n = 1; n <= 3; n++) { yield "data: " + n + "\\n\\n"; await new Promise((done) => setTimeout(done, 50)); }
        };
        const body = ReadableStream.from(events()).pipeThrough(new TextEncoderStream());
        return new Response(body, { headers: { "content-type": "text/event-stream" } });
      }`),
      "concurrency: 8",
    );
    assert.equal(await (await fetch(`${url}/events`)).text(), "data: 1\n\ndata: 2\n\ndata: 3\n\n");
    assert.equal(await (await fetch(`${url}/prefix`)).text(), "/e/streams/fn");
    const bytes = new Uint8Array(3 * 1024 * 1024).fill(7);
    const echoed = await (await fetch(`${url}/echo`, { method: "POST", body: bytes })).bytes();
    assert.ok(echoed.length === bytes.length && echoed.every((byte) => byte === 7));
    const socket = new WebSocket(`${url.replace("http:", "ws:")}/chat?room=1`);
    const message = Promise.withResolvers<string>();
    socket.onopen = () => socket.send("hello ");
    socket.onmessage = ({ data }) => message.resolve(data);
    socket.onerror = () => message.reject(new Error("the socket failed"));
    assert.equal(await message.promise, "hello ?room=1");
    socket.close();
  });

  it("that end by themselves are started again for those who come after", async () => {
    const url = await deploy(
      "mortal",
      `let left = 2;
       ${
        serve(`() => {
         if (--left === 0) setTimeout(() => Deno.exit(7), 20);
         return new Response(String(Deno.pid));
       }`)
      }`,
    );
    const pids: string[] = [];
    for (let n = 0; n < 6; n++) {
      const response = await fetch(url);
      assert.equal(response.status, 200, await response.clone().text());
      pids.push(await response.text());
      if (n % 2 === 1) {
        const ended = (n + 1) / 2;
        await untilTrue(
          "it has ended",
          async () =>
            (await containers("mortal")).filter(({ exit }) => exit?.kind === "user_error").length === ended,
        );
      }
    }
    assert.equal(new Set(pids).size, 3);
    assert.match((await containers("mortal")).find(({ exit }) => exit)!.exit!.message, /exit code 7/);
  });

  it("that are not well are replaced, and requests go to the others", async () => {
    const url = await deploy(
      "ailing",
      `let well = true;
       ${
        serve(`(request) => {
         const { pathname } = new URL(request.url);
         if (pathname === "/break") well = false;
         return new Response(String(Deno.pid), { status: well || pathname !== "/health" ? 200 : 500 });
       }`)
      }`,
      `health: { path: "/health", interval: "100ms", failures: 2 }`,
    );
    const first = await (await fetch(`${url}/break`)).text();
    const second = await until("another answers", async () => {
      const response = await fetch(url);
      const text = await response.text();
      return response.ok && text !== first ? text : null;
    });
    assert.notEqual(second, first);
    const ended = (await containers("ailing")).find(({ exit }) => exit !== undefined)!;
    assert.match(ended.exit!.message, /failed its health check 2 times in a row: GET \/health answered 500/);
  });

  it("that give way to a newer deployment answer what they were asked before, and go", async () => {
    const source = (text: string) =>
      serve(`async (request) => {
        if (request.url.endsWith("/slow")) {
          console.log("asked");
          await new Promise((done) => setTimeout(done, 2_500));
        }
        return new Response("${text}");
      }`);
    const url = await deploy("renewed", source("old"), "concurrency: 8");
    assert.equal(await (await fetch(url)).text(), "old"); // by a connection that then rests
    const slow = fetch(`${url}/slow`);
    const [old] = await containers("renewed");
    await untilTrue("it was asked", async () => {
      const { body } = await platform.ask<PageOf<ContainerLog>>(`/v1/containers/${old!.id}/logs`);
      return body.items.some(({ text }) => text === "asked");
    });
    await deploy("renewed", source("new"), "concurrency: 8");
    assert.equal(await (await fetch(url)).text(), "new");
    assert.equal(await (await slow).text(), "old");
    const ended = await until(
      "the old one has gone",
      async () => (await containers("renewed")).find(({ id, exit }) => id === old!.id && exit)?.exit ?? null,
    );
    assert.equal(ended.kind, "stopped");
    await platform.fetch("/v1/apps/renewed", { method: "DELETE" });
  });

  it("that never listen fail their start, with what they lack and what they printed", async () => {
    const url = await deploy(
      "silent",
      `console.log("reading weights"); setInterval(() => {}, 1000);`,
      `startTimeout: "1500ms"`,
    );
    const response = await fetch(url);
    assert.equal(response.status, 504);
    const { error } = await response.json();
    assert.match(error.message, /^Cannot reach endpoint "silent\/fn" within its start timeout of 1s500ms: /);
    assert.match(
      error.message,
      /start failed: .*nothing listens on port \d+\. It printed:\nreading weights; /,
    );
    const exit = await until(
      "a start has failed",
      async () => (await containers("silent")).find(({ exit }) => exit !== undefined)?.exit ?? null,
    );
    assert.equal(exit.kind, "start_failed");
    assert.match(exit.message, /nothing listens on port \d+\. It printed:\nreading weights/);
    await platform.fetch("/v1/apps/silent", { method: "DELETE" });
  });

  it("keep what they print, for `berth logs` by function and by container", async () => {
    const url = await deploy(
      "chatty",
      serve(`(request) => { console.log("asked for", request.url.slice(-4)); return new Response("ok"); }`),
    );
    await fetch(`${url}/one`);
    await fetch(`${url}/two`);
    const [container] = await containers("chatty");
    await untilTrue("its lines are kept", async () => {
      const { body } = await platform.ask<PageOf<ContainerLog>>(`/v1/containers/${container!.id}/logs`);
      return body.items.some(({ text }) => text === "asked for /two");
    });
    const shown = await platform.berth("logs", "chatty/fn");
    assert.match(shown.stdout, /asked for \/one\nasked for \/two/);
    const paged = await platform.berth("logs", container!.id, "--json", "--limit", "1");
    const page = JSON.parse(paged.stdout) as PageOf<ContainerLog>;
    assert.equal(page.items.length, 1);
    assert.ok(page.nextCursor !== undefined);
    const following = platform.berth("logs", "-f", "chatty/fn");
    await platform.fetch("/v1/apps/chatty", { method: "DELETE" });
    const { code, stdout } = await following;
    assert.equal(code, 0);
    assert.match(stdout, /asked for \/two[^]*It ended \(stopped\)/);
    const unknown = await platform.berth("logs", "ctr_unknown");
    assert.equal(unknown.code, 3);
    assert.match(unknown.stderr, /Cannot find container "ctr_unknown"/);
  });
});
