import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Dial } from "../../api/gateway/connection.ts";
import { dialContainer } from "../../api/gateway/dial.ts";
import { LIMITS } from "../../sdk/protocol.ts";
import { GatewayWorld, type WorldOptions } from "../setup/gateway_world.ts";
import { untilTrue } from "../setup/until.ts";

const errorOf = async (response: Response) => {
  const { error } = await response.json();
  return { status: response.status, code: error.code as string, message: error.message as string };
};

async function world(handler: Deno.ServeHandler<Deno.UnixAddr>, options: WorldOptions = {}) {
  const made = await GatewayWorld.start(options);
  made.publish([made.serve(handler)]);
  await made.gateway.refresh();
  return made;
}

const idle = (made: GatewayWorld) =>
  untilTrue("no slot is taken", () => made.gateway.stats().inFlight === 0 && made.gateway.stats().held === 0);

describe("Gateway passes requests on", () => {
  it("Gateway passes method, path, query, headers and body, and says what the container may believe", async () => {
    let seen: { method: string; url: string; headers: Headers; body: string } | undefined;
    await using made = await world(async (request) => {
      const { method, url, headers } = request;
      seen = { method, url, headers, body: await request.text() };
      return new Response("seen");
    });
    const response = await made.fetch("/e/demo/web/a/b?c=d&e", {
      method: "PATCH",
      headers: { "x-mine": "1", "berth-endpoint": "key", "x-forwarded-for": "6.6.6.6", accept: "text/x" },
      body: "hello",
    });
    assert.equal(response.status, 200);
    assert.equal(seen!.method, "PATCH");
    assert.equal(new URL(seen!.url).pathname + new URL(seen!.url).search, "/e/demo/web/a/b?c=d&e");
    const header = (name: string) => seen!.headers.get(name);
    assert.equal(header("x-mine"), "1");
    assert.equal(header("accept"), "text/x");
    assert.equal(header("host"), new URL(made.url("/")).host);
    assert.equal(header("berth-url"), made.url("/e/demo/web/a/b?c=d&e"));
    assert.equal(header("berth-endpoint"), "web");
    assert.equal(header("x-forwarded-for"), "127.0.0.1");
    assert.equal(header("x-forwarded-proto"), "http");
    assert.equal(header("x-request-id"), response.headers.get("x-request-id"));
    assert.equal(header("content-length"), "5");
    assert.deepEqual([seen!.body, await response.text()], ["hello", "seen"]);
  });

  it("Gateway passes status, repeated headers and bytes back as they are, compressed ones too", async () => {
    const packed = await new Response(
      new Blob(["hello ".repeat(1_000)]).stream().pipeThrough(new CompressionStream("gzip")),
    ).bytes();
    await using made = await world(() =>
      new Response(packed, {
        status: 418,
        headers: [["content-encoding", "gzip"], ["set-cookie", "a=1"], ["set-cookie", "b=2"], [
          "x-latin",
          "\xe9",
        ]],
      })
    );
    using client = await made.raw("GET /e/demo/web HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    const head = await client.until("\r\n\r\n");
    assert.match(head, /^HTTP\/1\.1 418 /);
    assert.match(head, /content-encoding: gzip\r\n/);
    assert.match(head, new RegExp(`content-length: ${packed.length}\r\n`));
    assert.equal(head.match(/content-length/g)?.length, 1);
    assert.match(head, /set-cookie: a=1\r\nset-cookie: b=2\r\n/);
    const response = await made.fetch("/e/demo/web");
    assert.equal(await response.text(), "hello ".repeat(1_000));
  });

  it("Gateway carries large bodies both ways without a change", async () => {
    await using made = await world((request) => new Response(request.body));
    const sent = crypto.getRandomValues(new Uint8Array(65_536));
    const big = new Blob(Array.from({ length: 200 }, (_, i) => sent.subarray(i)));
    const whole = await big.bytes();
    const known = await made.fetch("/e/demo/web", { method: "POST", body: big });
    assert.deepEqual(await digest(await known.bytes()), await digest(whole));
    const chunked = await made.fetch("/e/demo/web", { method: "POST", body: big.stream() });
    assert.deepEqual(await digest(await chunked.bytes()), await digest(whole));
    await idle(made);
  });

  it("Gateway passes responses without a body, and uses the connection again after them", async () => {
    let connections = 0;
    const dial: Dial = (path) => (connections++, dialContainer(path));
    await using made = await world((request) => {
      const status = Number(new URL(request.url).searchParams.get("status") ?? 200);
      return new Response(status === 200 ? "body" : null, { status, headers: { etag: '"x"' } });
    }, { dial });
    for (let i = 0; i < 3; i++) {
      for (const status of [200, 204, 304, 205]) {
        const response = await made.fetch(`/e/demo/web?status=${status}`);
        assert.deepEqual([response.status, response.headers.get("etag")], [status, '"x"']);
        assert.equal(await response.text(), status === 200 ? "body" : "");
      }
      const head = await made.fetch("/e/demo/web", { method: "HEAD" });
      assert.deepEqual([head.status, head.headers.get("content-length"), await head.text()], [200, "4", ""]);
    }
    assert.equal(connections, 1);
  });

  it("Gateway never gives a container more than its concurrency, and uses all containers", async () => {
    await using made = await GatewayWorld.start({ function: { concurrency: 4 } });
    const most = [0, 0, 0];
    const now = [0, 0, 0];
    let broken = false;
    const containers = most.map((_, i) =>
      made.serve(async () => {
        most[i] = Math.max(most[i]!, ++now[i]!);
        if (now[i]! > 4) broken = true;
        await new Promise((resolve) => setTimeout(resolve, 5));
        now[i]!--;
        return new Response("x");
      })
    );
    made.publish(containers);
    const responses = await Promise.all(Array.from({ length: 150 }, () => made.fetch("/e/demo/web")));
    assert.deepEqual(new Set(responses.map(({ status }) => status)), new Set([200]));
    await Promise.all(responses.map((response) => response.text()));
    assert.deepEqual([most, broken], [[4, 4, 4], false]);
    await idle(made);
  });
});

describe("Gateway streams", () => {
  it("Gateway passes each event of a stream on before the next one exists", async () => {
    let next = Promise.withResolvers<void>();
    await using made = await world(() =>
      new Response(
        new ReadableStream({
          async pull(controller) {
            await next.promise;
            next = Promise.withResolvers();
            controller.enqueue(new TextEncoder().encode("data: x\n\n"));
          },
        }, { highWaterMark: 0 }),
        { headers: { "content-type": "text/event-stream" } },
      )
    );
    const response = await made.fetch("/e/demo/web", { headers: { "accept-encoding": "gzip" } });
    assert.equal(response.headers.get("content-encoding"), null);
    const reader = response.body!.getReader();
    for (let i = 0; i < 20; i++) {
      next.resolve();
      const { value } = await reader.read();
      assert.equal(new TextDecoder().decode(value), "data: x\n\n");
    }
    await reader.cancel();
    await idle(made);
  });

  it("Gateway passes each piece of a request body on before the next one exists, and answers meanwhile", async () => {
    await using made = await world((request) =>
      new Response(request.body!.pipeThrough(
        new TransformStream({
          transform(piece, controller) {
            controller.enqueue(new TextEncoder().encode(`got ${new TextDecoder().decode(piece)}`));
          },
        }),
      ))
    );
    using client = await made.raw(
      "POST /e/demo/web HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    await client.until("\r\n\r\n");
    for (let i = 0; i < 10; i++) {
      await client.connection.write(new TextEncoder().encode(`2\r\nn${i}\r\n`));
      await client.until(`got n${i}`);
    }
    await client.connection.write(new TextEncoder().encode("0\r\n\r\n"));
    await client.until("\r\n0\r\n\r\n");
    await idle(made);
  });

  it("Gateway reads no more of a response than the client takes", async () => {
    let produced = 0;
    await using made = await world(() =>
      new Response(
        new ReadableStream({
          pull(controller) {
            produced += 65_536;
            controller.enqueue(new Uint8Array(65_536));
          },
        }, { highWaterMark: 0 }),
      )
    );
    using client = await made.raw("GET /e/demo/web HTTP/1.1\r\nhost: h\r\n\r\n");
    await client.until("\r\n\r\n");
    await steady(() => produced);
    assert.ok(
      produced < 16 * 1024 * 1024,
      `${produced} bytes piled up between the container and a client that reads nothing`,
    );
  });

  it("Gateway ends the container's request when the client leaves, whatever it was doing", async () => {
    for (const path of ["/silent", "/streams", "/quiet-stream", "/reads"]) {
      const left = Promise.withResolvers<void>();
      const arrived = Promise.withResolvers<void>();
      await using made = await world(async (request) => {
        request.signal.addEventListener("abort", () => left.resolve());
        arrived.resolve();
        if (path === "/silent") await left.promise;
        if (path === "/reads") await request.text().catch(() => left.resolve());
        const pull = async (controller: ReadableStreamDefaultController) => {
          if (path === "/quiet-stream") await left.promise;
          controller.enqueue(new Uint8Array(1_000));
        };
        return new Response(new ReadableStream({ pull, cancel: () => left.resolve() }));
      });
      const client = await made.raw(
        path === "/reads"
          ? `POST /e/demo/web${path} HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nabc`
          : `GET /e/demo/web${path} HTTP/1.1\r\nhost: h\r\n\r\n`,
      );
      await arrived.promise;
      client.connection.close();
      await left.promise;
      await idle(made);
    }
  });

  it("Gateway answers when the container answers, though the request was not read to its end", async () => {
    await using made = await world(() => new Response("too much", { status: 413 }));
    for (const framing of ["content-length: 99", "transfer-encoding: chunked"]) {
      using client = await made.raw(`POST /e/demo/web HTTP/1.1\r\nhost: h\r\n${framing}\r\n\r\n3\r\nabc\r\n`);
      assert.match(await client.until("too much"), /^HTTP\/1\.1 413 /);
    }
    await idle(made);
  });
});

describe("Gateway holds requests", () => {
  it("Gateway holds a request until a container is ready, and says at once that it is needed", async () => {
    await using made = await GatewayWorld.start();
    const container = made.serve(() => new Response("awake"));
    const waiting = made.fetch("/e/demo/web");
    await untilTrue("the demand is reported", () => made.reported.length > 0);
    assert.deepEqual([made.reported[0]!.functionId, made.reported[0]!.waiting, made.ticks], [1, 1, 1]);
    made.publish([container]);
    assert.equal(await (await waiting).text(), "awake");
  });

  it("Gateway refuses one request more than it may hold, and says when to come again", async () => {
    await using made = await GatewayWorld.start();
    const held = Array.from({ length: LIMITS.heldRequestsPerFunction }, () => made.fetch("/e/demo/web"));
    await untilTrue("all are held", () => made.gateway.stats().held === held.length);
    const refused = await made.fetch("/e/demo/web");
    assert.equal(refused.headers.get("retry-after"), "1");
    const { status, code } = await errorOf(refused);
    assert.deepEqual([status, code], [429, "too_many_requests"]);
    made.publish([made.serve(() => new Response("x"))]);
    const statuses = (await Promise.all(held)).map(async (
      response,
    ) => (await response.text(), response.status));
    assert.deepEqual(new Set(await Promise.all(statuses)), new Set([200]));
  });

  it("Gateway gives up when the start takes too long, and says why", async () => {
    await using made = await GatewayWorld.start({ function: { startTimeoutMs: 20 } });
    const { status, code, message } = await errorOf(await made.fetch("/e/demo/web"));
    assert.deepEqual([status, code], [504, "start_timeout"]);
    assert.equal(
      message,
      'Cannot reach endpoint "demo/web" within its start timeout of 20ms: needs 2 × H100; largest free node has 1',
    );
  });

  it("Gateway gives up as well when nobody knows why", async () => {
    const waitingReason = () => Promise.reject(new Error("the database is away"));
    await using made = await GatewayWorld.start({ function: { startTimeoutMs: 20 }, waitingReason });
    const { status, message } = await errorOf(await made.fetch("/e/demo/web"));
    assert.equal(status, 504);
    assert.match(message, /no container became ready or free/);
  });

  it("Gateway forgets a held request whose client has left", async () => {
    await using made = await GatewayWorld.start();
    const client = await made.raw("GET /e/demo/web HTTP/1.1\r\nhost: h\r\n\r\n");
    await untilTrue("it is held", () => made.gateway.stats().held === 1);
    client.connection.close();
    await idle(made);
  });

  it("Gateway sends held requests away when their function is removed", async () => {
    await using made = await GatewayWorld.start();
    const waiting = made.fetch("/e/demo/web");
    await untilTrue("it is held", () => made.gateway.stats().held === 1);
    made.routes = [];
    made.wakes.wake("routes");
    assert.equal((await errorOf(await waiting)).code, "not_found");
  });
});

describe("Gateway admits", () => {
  it("Gateway lets callers with a key use what needs one, and hides it from user code", async () => {
    await using made = await world(({ headers }) => Response.json(headers.get("authorization")));
    const ask = (path: string, authorization?: string, method = "GET") =>
      made.fetch(path, { method, headers: authorization === undefined ? {} : { authorization } });

    const good = await ask("/e/demo/key", "Bearer berth_invoke");
    assert.deepEqual([good.status, await good.json()], [200, null]);
    const refusals = [
      ["/e/demo/key", undefined, 401, "unauthorized"],
      ["/e/demo/key", "Bearer berth_wrong", 401, "unauthorized"],
      ["/e/demo/key", "Basic abc", 401, "unauthorized"],
      ["/e/demo/key", "Bearer berth_read", 403, "forbidden"],
      ["/e/demo/key", "Bearer berth_other", 404, "not_found"],
      ["/e/demo/web", "Bearer berth_wrong", 401, "unauthorized"],
    ] as const;
    for (const [path, authorization, ...expected] of refusals) {
      const { status, code } = await errorOf(await ask(path, authorization));
      assert.deepEqual([status, code], expected, `${path} with ${authorization}`);
    }
    assert.equal((await errorOf(await ask("/e/demo/key", undefined, "OPTIONS"))).status, 401);
  });

  it("Gateway passes what is between client and user code on public endpoints, OPTIONS too", async () => {
    await using made = await world(({ method, headers }) =>
      new Response(headers.get("authorization"), { headers: { "access-control-allow-methods": method } })
    );
    const theirs = await made.fetch("/e/demo/web", { headers: { authorization: "Bearer their-own" } });
    assert.equal(await theirs.text(), "Bearer their-own");
    const preflight = await made.fetch("/e/demo/web", { method: "OPTIONS" });
    assert.deepEqual([preflight.status, preflight.headers.get("access-control-allow-methods")], [
      200,
      "OPTIONS",
    ]);
    await preflight.body?.cancel();
    const ours = await made.fetch("/e/demo/web", { headers: { authorization: "Bearer berth_invoke" } });
    assert.equal(await ours.text(), "");
  });

  it("Gateway says what it doesn't know, with a hint only for those who have a key", async () => {
    await using made = await GatewayWorld.start();
    const without = await errorOf(await made.fetch("/e/demo/wep"));
    assert.deepEqual([without.status, without.code], [404, "not_found"]);
    assert.doesNotMatch(without.message, /demo\/web/);
    const headers = { authorization: "Bearer berth_invoke" };
    assert.match(
      (await errorOf(await made.fetch("/e/demo/wep", { headers }))).message,
      /did you mean "demo\/web"/,
    );
    for (const path of ["/e/demo", "/e/demo/1", "/e/de%2Fmo/web"]) {
      assert.equal((await errorOf(await made.fetch(path))).code, "not_found");
    }
  });

  it("Gateway finds what was deployed before the request, though nobody told it", async () => {
    await using made = await GatewayWorld.start();
    const route = made.routes[0]!;
    made.routes = [{
      ...route,
      app: "fresh",
      function: { ...route.function, containers: [made.serve(() => new Response("new"))] },
    }];
    assert.equal(await (await made.fetch("/e/fresh/web")).text(), "new");
  });
});

describe("Gateway.drain", () => {
  it("Gateway.drain lets what runs end, refuses what comes, and takes its demand back", async () => {
    const go = Promise.withResolvers<void>();
    await using made = await world(async () => {
      await go.promise;
      return new Response("done");
    });
    const running = made.fetch("/e/demo/web");
    await untilTrue("its demand is known", () => made.reported.some(({ inFlight }) => inFlight === 1));
    const drained = made.gateway.drain();
    const refused = await made.fetch("/e/demo/web");
    assert.equal(refused.headers.get("retry-after"), "1");
    assert.equal((await errorOf(refused)).code, "unavailable");
    go.resolve();
    assert.equal(await (await running).text(), "done");
    await drained;
    assert.deepEqual([made.reported.at(-1)!.inFlight, made.reported.at(-1)!.waiting], [0, 0]);
  });

  it("Gateway.drain sends held requests to another server, and breaks off what takes too long", async () => {
    await using made = await world(untilGone, { function: { concurrency: 1 } });
    const running = made.fetch("/e/demo/web");
    await untilTrue("one runs", () => made.gateway.stats().inFlight === 1);
    const held = made.fetch("/e/demo/web");
    await untilTrue("one is held", () => made.gateway.stats().held === 1);
    await made.gateway.drain(10);
    assert.equal((await errorOf(await held)).code, "unavailable");
    assert.equal((await errorOf(await running)).code, "unavailable");
  });
});

/** A handler that ends when its client does. */
const untilGone = ({ signal }: Request): Promise<Response> =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve(new Response("too late"))));

async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** Waits until a number no longer changes. */
async function steady(look: () => number): Promise<void> {
  let [before, times] = [look(), 0];
  await untilTrue("it no longer changes", () => {
    times = look() === before ? times + 1 : 0;
    before = look();
    return times === 8;
  });
}
