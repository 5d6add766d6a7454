/** The api as it is served: sockets, several processes' worth of wiring, and the end of it. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { createPlatform } from "../../api/main.ts";
import { silentLog } from "../../sdk/ports.ts";
import type { Call } from "../../sdk/protocol.ts";
import { BUNDLE, manifestOf, sha256 } from "../setup/api.ts";
import { testDatabase } from "../setup/postgres.ts";
import { until } from "../setup/until.ts";

async function setup() {
  const db = await testDatabase();
  const dir = await Deno.makeTempDir({ prefix: "berth-platform-" });
  const unixSocket = `${dir}/api.sock`;
  const start = (more: { port?: number } = {}) =>
    createPlatform({ databaseUrl: db.url, blobsDir: `${dir}/blobs`, unixSocket, log: silentLog, ...more });
  const platform = await start();
  const key = await platform.createKey({ name: "test", scope: "admin" });
  const asker = (url: string) => (path: string, init: RequestInit = {}) =>
    fetch(url + path, {
      ...init,
      headers: { authorization: `Bearer ${key}`, ...init.headers as Record<string, string> },
    });
  const ask = asker(platform.url);
  await ask(`/v1/bundles/${await sha256(BUNDLE)}`, { method: "PUT", body: BUNDLE }).then((response) =>
    response.body?.cancel()
  );
  const body = JSON.stringify({ bundle: await sha256(BUNDLE), manifest: manifestOf(["work"]) });
  await ask("/v1/apps/demo/deployments", { method: "POST", body }).then((response) =>
    response.body?.cancel()
  );
  return {
    platform,
    unixSocket,
    start,
    key,
    asker,
    ask,
    async [Symbol.asyncDispose]() {
      await platform.stop();
      await db[Symbol.asyncDispose]();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

const CALLS = "/v1/apps/demo/functions/work/calls";

describe("createPlatform()", () => {
  it("serves on TCP and on its unix socket, and has the scheduler say why a call waits", async () => {
    await using world = await setup();
    const created = await (await world.ask(CALLS, { method: "POST", body: '{"input":1}' })).json();
    const id = created.calls[0].id;
    const reason = await until("the scheduler has looked", async () => {
      const call: Call = await (await world.ask(`/v1/calls/${id}`)).json();
      return call.waiting?.reason.includes("node") ? call.waiting.reason : null;
    });
    assert.match(reason, /node/);
    using client = Deno.createHttpClient({ proxy: { transport: "unix", path: world.unixSocket } });
    const health = await fetch("http://berth/healthz", { client });
    assert.equal((await health.json()).ok, true);
  });

  it("answers every parked request when it stops, and another one takes over its work", async () => {
    await using world = await setup();
    const waiting = world.ask(CALLS, { method: "POST", body: '{"input":1}', headers: { prefer: "wait=60" } });
    const { items } = await until("the call is stored", async () => {
      const page = await (await world.ask("/v1/calls")).json();
      return page.items.length > 0 ? page : null;
    });
    const live = await world.ask(`/v1/calls/${items[0].id}/events`, {
      headers: { accept: "text/event-stream" },
    });
    const told = live.text();
    await world.platform.stop();
    assert.equal((await waiting).status, 202);
    await (await waiting).body?.cancel();
    assert.match(await told, /"queued"/);
    await assert.rejects(world.ask("/healthz"));

    const next = await world.start();
    try {
      const call: Call = await (await world.asker(next.url)(`/v1/calls/${items[0].id}`)).json();
      assert.equal(call.state, "queued");
    } finally {
      await next.stop();
    }
  });

  it("replaces a key of the same name when asked to", async () => {
    await using world = await setup();
    const again = await world.platform.createKey({ name: "test", scope: "read", replace: true });
    const response = await fetch(`${world.platform.url}/v1/calls`, {
      headers: { authorization: `Bearer ${again}` },
    });
    assert.equal(response.status, 200);
    await response.body?.cancel();
  });

  it("lets go of everything when it cannot listen", async () => {
    await using world = await setup();
    const port = Number(new URL(world.platform.url).port);
    await assert.rejects(world.start({ port }), Deno.errors.AddrInUse);
    assert.equal((await world.ask("/healthz").then((response) => response.json())).ok, true);
  });
});
