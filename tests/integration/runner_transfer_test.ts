/** How a runner moves bytes: to where a signed URL leads, and from where an answer leads. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { apiAddress } from "../../runner/address.ts";
import { ApiAway, ApiRefused, NodeApi } from "../../runner/api.ts";
import { realClock, realFetch } from "../../sdk/ports.ts";
import { freePort } from "../setup/postgres.ts";

/** More than sockets hold, so that an early answer finds the sender in the middle. */
const LARGE = 64 * 1024 * 1024;

type Handle = (request: Request) => Response | Promise<Response>;

const serve = (
  handle: Handle,
  where: { path: string } | Record<never, never> = { hostname: "127.0.0.1", port: 0 },
) => Deno.serve({ ...where, onListen: () => {} } as Deno.ServeTcpOptions, handle);
const urlOf = (server: Deno.HttpServer<Deno.NetAddr>) => `http://127.0.0.1:${server.addr.port}`;

async function setup(handle: Handle, address?: string) {
  const dir = await Deno.makeTempDir({ prefix: "berth-transfer-" });
  const server = serve(handle);
  const api = new NodeApi(
    { address: apiAddress(address ?? urlOf(server)), fetch: realFetch, clock: realClock },
    { id: "node_1", credential: "secret" },
  );
  const file = `${dir}/body`;
  return {
    api,
    file,
    url: urlOf(server),
    dir,
    write: (bytes: Uint8Array) => Deno.writeFile(file, bytes),
    upload: (url: string, signal = AbortSignal.timeout(20_000)) =>
      api.upload({ url, headers: { "if-none-match": "*" } }, file, signal),
    [Symbol.asyncDispose]: async () => {
      await server.shutdown();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

describe("NodeApi.upload()", () => {
  it("sends a file with its length and the headers that were signed, and no credential", async () => {
    const seen: unknown[] = [];
    await using world = await setup(async (request) => {
      const { headers } = request;
      seen.push([request.method, headers.get("content-length"), headers.get("if-none-match")]);
      assert.equal(headers.get("authorization"), null);
      assert.equal(headers.get("transfer-encoding"), null);
      seen.push((await request.bytes()).every((byte) => byte === 7));
      return new Response(null, { status: 200 });
    });
    for (const size of [0, 5, 3_000_000]) {
      await world.write(new Uint8Array(size).fill(7));
      await world.upload(size === 5 ? "/v1/blobs/k" : `${world.url}/bucket/k`);
      assert.deepEqual(seen.splice(0), [["PUT", String(size), "*"], true]);
    }
  });

  it("sends it over the socket of the api, when a path is given and that is where the api is", async () => {
    const dir = await Deno.makeTempDir({ prefix: "berth-socket-" });
    const got: string[] = [];
    const handle = async (request: Request) => {
      got.push(`${new URL(request.url).pathname} ${await request.text()}`);
      return new Response(null, { status: 201 });
    };
    const server = serve(handle, { path: `${dir}/api.sock` });
    {
      await using world = await setup(handle, `unix:${dir}/api.sock`);
      await world.write(new TextEncoder().encode("bytes"));
      await world.upload("/v1/blobs/k");
      await world.upload(`${world.url}/elsewhere`);
    }
    assert.deepEqual(got, ["/v1/blobs/k bytes", "/elsewhere bytes"]);
    await server.shutdown();
    await Deno.remove(dir, { recursive: true });
  });

  it("is done when the blob is there, and otherwise tells a refusal from a store that is away", async () => {
    let status = 412;
    await using world = await setup(async (request) => {
      await request.bytes();
      return new Response("<Code>Why</Code>", { status });
    });
    await world.write(new Uint8Array(10));
    await world.upload("/v1/blobs/k");
    status = 503;
    await assert.rejects(world.upload("/v1/blobs/k"), ApiAway);
    status = 403;
    await assert.rejects(
      world.upload("/v1/blobs/k"),
      (error) =>
        error instanceof ApiRefused && error.message === "the store of blobs answered 403 <Code>Why</Code>",
    );
    await assert.rejects(world.upload(`http://127.0.0.1:${freePort()}/k`), ApiAway);
  });

  it("hears an answer that comes before everything was sent", async () => {
    await using world = await setup(() => new Response("no", { status: 403 }));
    await world.write(new Uint8Array(LARGE));
    await assert.rejects(world.upload("/v1/blobs/k"), ApiRefused);
  });

  it("ends when it is told to", async () => {
    const reached = Promise.withResolvers<void>();
    const over = Promise.withResolvers<Response>();
    await using world = await setup(() => (reached.resolve(), over.promise));
    await world.write(new Uint8Array(LARGE));
    const stop = new AbortController();
    const uploading = world.upload("/v1/blobs/k", stop.signal);
    reached.promise.then(() => stop.abort());
    await assert.rejects(uploading);
    over.resolve(new Response());
  });
});

describe("NodeApi, reading where an answer leads", () => {
  const signal = () => AbortSignal.timeout(20_000);

  it("follows to the api and past it, and shows its credential only to the api", async () => {
    const shown: unknown[] = [];
    const store = serve((request) => {
      shown.push(request.headers.get("authorization"));
      return new Response("from the store");
    }) as Deno.HttpServer<Deno.NetAddr>;
    await using world = await setup((request) => {
      const { pathname } = new URL(request.url);
      if (pathname.startsWith("/v1/blobs")) return new Response("from the api");
      assert.equal(request.headers.get("authorization"), "Bearer secret");
      const location = pathname.endsWith("/far")
        ? `${urlOf(store)}/bucket/k?signature=1`
        : "/v1/blobs/k?signature=1";
      return new Response(null, { status: 307, headers: { location } });
    });
    const text = async (digest: string) => new TextDecoder().decode(await world.api.bundle(digest, signal()));
    assert.equal(await text("near"), "from the api");
    assert.equal(await text("far"), "from the store");
    assert.deepEqual(shown, [null]);
    await store.shutdown();
  });

  it("tells a store that is away from one that refuses", async () => {
    let location = `http://127.0.0.1:${freePort()}/k`;
    await using world = await setup((request) =>
      request.url.endsWith("/gone")
        ? new Response("NoSuchKey", { status: 404 })
        : new Response(null, { status: 307, headers: { location } })
    );
    await assert.rejects(world.api.bundle("d", signal()), ApiAway);
    location = `${world.url}/gone`;
    await assert.rejects(
      world.api.bundle("d", signal()),
      (error) => error instanceof ApiRefused && error.message === "the store of blobs answered 404 NoSuchKey",
    );
  });
});
