import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { GatewayWorld } from "../setup/gateway_world.ts";
import { until, untilTrue } from "../setup/until.ts";

/** A container that says hello, echoes, and closes when told to. */
function echo(request: Request): Response {
  if (request.headers.get("upgrade") !== "websocket") return new Response("no", { status: 403 });
  const hello = `hello ${request.headers.get("berth-endpoint")} ${request.headers.get("berth-url")}`;
  const { socket, response } = Deno.upgradeWebSocket(request, { protocol: "second" });
  socket.binaryType = "arraybuffer";
  socket.onopen = () => socket.send(hello);
  socket.onmessage = ({ data }) => data === "leave" ? socket.close(4_001, "as told") : socket.send(data);
  return response;
}

async function setup(handler = echo) {
  const made = await GatewayWorld.start();
  made.publish([made.serve(handler)]);
  await made.gateway.refresh();
  const open = (path: string) => {
    const messages: (string | ArrayBuffer)[] = [];
    const closes: CloseEvent[] = [];
    const socket = new WebSocket(made.url(path).replace("http:", "ws:"), ["first", "second"]);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => messages.push(data);
    socket.onclose = (event) => closes.push(event);
    socket.onerror = () => {};
    const message = (i: number) => until(`message ${i} has come`, () => messages[i] ?? null);
    const closed = () => until("the socket has closed", () => closes[0] ?? null);
    return { socket, message, closed };
  };
  return { made, open, [Symbol.asyncDispose]: () => made[Symbol.asyncDispose]() };
}

describe("Gateway and WebSockets", () => {
  it("Gateway passes messages both ways, text and bytes, from the first one on", async () => {
    await using world = await setup();
    const { socket, message } = world.open("/e/demo/web/chat?room=1");
    assert.equal(await message(0), `hello web ${world.made.url("/e/demo/web/chat?room=1")}`);
    assert.equal(socket.protocol, "second");
    socket.send("text ✓");
    assert.equal(await message(1), "text ✓");
    socket.send(new Uint8Array([0, 255, 7]));
    assert.deepEqual(new Uint8Array(await message(2) as ArrayBuffer), new Uint8Array([0, 255, 7]));
    const big = "x".repeat(1_000_000);
    socket.send(big);
    assert.equal(await message(3), big);
    assert.equal(world.made.gateway.stats().inFlight, 1);
    socket.close();
    await untilTrue("its slot is free", () => world.made.gateway.stats().inFlight === 0);
  });

  it("Gateway passes a close on, with its code and reason, whoever closes", async () => {
    const seen = Promise.withResolvers<CloseEvent>();
    await using world = await setup((request) => {
      const { socket, response } = Deno.upgradeWebSocket(request);
      socket.onclose = (event) => seen.resolve(event);
      return response;
    });
    const { socket } = world.open("/e/demo/web");
    await untilTrue("it is open", () => socket.readyState === WebSocket.OPEN);
    socket.close(3_003, "enough");
    const { code, reason } = await seen.promise;
    assert.deepEqual([code, reason], [3_003, "enough"]);

    await using other = await setup();
    const second = other.open("/e/demo/web");
    await second.message(0);
    second.socket.send("leave");
    const closed = await second.closed();
    assert.deepEqual([closed.code, closed.reason], [4_001, "as told"]);
    await untilTrue("its slot is free", () => other.made.gateway.stats().inFlight === 0);
  });

  it("Gateway refuses a WebSocket that the container does not accept, and one without a key that needs one", async () => {
    await using world = await setup(() => new Response("no", { status: 403 }));
    const handshake = (path: string) =>
      world.made.raw(
        `GET ${path} HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n` +
          "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      );
    using refused = await handshake("/e/demo/web");
    assert.match(await refused.until("bad_gateway"), /^HTTP\/1\.1 502 /);
    // Without `connection: upgrade`.
    const bad = "GET /e/demo/web HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n" +
      "sec-websocket-protocol: second\r\n\r\n";
    await using accepting = await setup();
    using malformed = await accepting.made.raw(bad);
    assert.match(await malformed.until("invalid_request"), /^HTTP\/1\.1 400 /);
    await untilTrue("no slot is taken", () => accepting.made.gateway.stats().inFlight === 0);
    using keyless = await handshake("/e/demo/key");
    assert.match(await keyless.until("unauthorized"), /^HTTP\/1\.1 401 /);
    await untilTrue("no slot is taken", () => world.made.gateway.stats().inFlight === 0);
  });

  it("Gateway.drain closes WebSockets after its grace", async () => {
    await using world = await setup();
    const { message, closed } = world.open("/e/demo/web");
    await message(0);
    await world.made.gateway.drain(10);
    await closed();
  });
});
