import { after, before, describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { formatKnock, readLine } from "../../sdk/relay.ts";
import { withoutEngines, withoutPython } from "../setup/machine.ts";
import { OtherMachine } from "../setup/other_machine.ts";
import { Platform } from "../setup/platform.ts";
import { untilTrue } from "../setup/until.ts";

const RELAY_PORT = 7_979;
const APP = `
  import { App } from "berth";
  const app = new App("far");
  const options = { labels: { place: "far" }, auth: "public", concurrency: 8, scale: { scaledownWindow: "5m" } };
  export const web = app.endpoint(options, (request) => {
    if (request.headers.get("upgrade") !== "websocket") return new Response(request.body ?? "hello from afar");
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = ({ data }) => socket.send("far " + data);
    return response;
  });
  export const program = app.server({
    ...options, command: ["python3", "-m", "http.server", "--bind", "127.0.0.1", "$PORT"], files: ["page.txt"],
  });`;

describe("endpoints on another machine", { skip: withoutEngines || withoutPython }, () => {
  let platform: Platform;
  let far: OtherMachine;
  let web: string, program: string;

  before(async () => {
    far = await OtherMachine.create();
    platform = await Platform.up({ args: ["--host", "0.0.0.0", "--no-runner"] });
    await platform.post("/v1/pools", { name: "far", provider: "static" });
    await far.join(platform, "far", "--labels", "place=far", "--relay-port", String(RELAY_PORT));
    const { endpoints } = await platform.deploy(APP, "app.ts", { "page.txt": "a page\n" });
    const urlOf = (name: string) =>
      endpoints.find((one) => one.name === name)!.url.replace("0.0.0.0", "127.0.0.1");
    [web, program] = [urlOf("web"), urlOf("program")];
  });
  after(async () => {
    await far[Symbol.asyncDispose]();
    await platform[Symbol.asyncDispose]();
  });

  it("answer, and pass bodies on both ways", async () => {
    assert.equal(await (await fetch(web)).text(), "hello from afar");
    const bytes = crypto.getRandomValues(new Uint8Array(64 * 1024));
    const body = new Blob(Array.from({ length: 48 }, () => bytes));
    const echoed = await (await fetch(web, { method: "POST", body })).bytes();
    assert.deepEqual(echoed, await body.bytes());
  });

  it("speak WebSocket", async () => {
    const socket = new WebSocket(web.replace("http:", "ws:"));
    const message = Promise.withResolvers<string>();
    socket.onopen = () => socket.send("hello");
    socket.onmessage = ({ data }) => message.resolve(data);
    socket.onerror = () => message.reject(new Error("It was not accepted"));
    assert.equal(await message.promise, "far hello");
    socket.close();
  });

  it("may be programs that listen there on 127.0.0.1", async () => {
    assert.equal(await (await fetch(`${program}/page.txt`)).text(), "a page\n");
  });

  it("are reached by nobody who does not have the key", async () => {
    const { items } = (await platform.ask<{ items: { id: string }[] }>("/v1/containers?app=far")).body;
    assert.ok(items.length > 0);
    for (const key of ["0".repeat(48), "x"]) {
      using stranger = await Deno.connect({ hostname: far.there, port: RELAY_PORT });
      await stranger.write(new TextEncoder().encode(formatKnock({ key, container: items[0]!.id })));
      assert.equal(await readLine(stranger), null);
    }
    using http = await Deno.connect({ hostname: far.there, port: RELAY_PORT });
    await http.write(new TextEncoder().encode("GET / HTTP/1.1\r\nhost: far\r\n\r\n"));
    assert.equal(await readLine(http), null);
  });

  it("come back after their machine's runner was killed", async () => {
    await far.kill();
    await far.join(platform, "far", "--labels", "place=far");
    await untilTrue("the endpoint answers again", async () => {
      const response = await fetch(web);
      return await response.text() === "hello from afar";
    }, 90_000);
  });
});
