import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { keyringOf } from "../../api/secrets/keyring.ts";
import { secretHandlers } from "../../api/secrets/routes.ts";
import { Vault } from "../../api/secrets/vault.ts";
import { readSnapshot } from "../../scheduler/store/snapshot.ts";
import { realRandom } from "../../sdk/ports.ts";
import { LIMITS, type PageOf, type Secret } from "../../sdk/protocol.ts";
import { type ErrorAnswer, SECRETS_KEY, TestApi } from "../setup/api.ts";
import { ApiRunner } from "../setup/api_runner.ts";

const PASSWORD = "correct horse battery staple";
const OTHER_KEY = new Uint8Array(32).fill(9).toBase64();

type Answer = Secret & ErrorAnswer;

const set = (api: TestApi, name: string, body: Record<string, unknown>, key = api.key) =>
  api.ask<Answer>(`/v1/secrets/${name}`, { body, key });

/** All that lies in any table, as text. */
async function dump({ sql }: TestApi["deps"]): Promise<string> {
  const tables = await sql<{ name: string }[]>`
    select table_name as name from information_schema.tables where table_schema = 'public'`;
  const rows = await Promise.all(
    tables.map(({ name }) => sql<{ row: string }[]>`select t::text as row from ${sql(name)} t`),
  );
  return rows.flat().map(({ row }) => row).join("\n");
}

const seenIn = (text: string, value: string): boolean =>
  [value, new TextEncoder().encode(value).toHex(), new TextEncoder().encode(value).toBase64()]
    .some((form) => text.includes(form));

describe("/v1/secrets", () => {
  it("makes, changes, shows and lists secrets, never with their values", async () => {
    await using api = await TestApi.start();
    const made = await set(api, "db", { values: { PASSWORD, USER: "ann" } });
    assert.equal(made.status, 200);
    const { createdAt, updatedAt, ...rest } = made.body;
    assert.deepEqual(rest, { name: "db", version: 1, keys: ["PASSWORD", "USER"] });
    assert.equal(createdAt, updatedAt);

    const changed = await set(api, "db", { values: { URL: "postgres://db" }, unset: ["USER"] });
    assert.deepEqual([changed.body.version, changed.body.keys], [2, ["PASSWORD", "URL"]]);
    assert.deepEqual((await api.ask<Secret>("/v1/secrets/db")).body, changed.body);

    await set(api, "hf", { values: { HF_TOKEN: "hf_0123456789" } });
    const first = await api.ask<PageOf<Secret>>("/v1/secrets?limit=1");
    assert.deepEqual(first.body.items.map(({ name }) => name), ["db"]);
    const next = await api.ask<PageOf<Secret>>(`/v1/secrets?cursor=${first.body.nextCursor}`);
    assert.deepEqual(next.body.items.map(({ name }) => name), ["hf"]);
    const texts = JSON.stringify([made, changed, first, next]);
    for (const value of [PASSWORD, "postgres://db", "hf_0123456789"]) assert.ok(!texts.includes(value));
  });

  it("may be repeated: the same values again are no new version", async () => {
    await using api = await TestApi.start();
    const [a, b] = [
      await set(api, "db", { values: { PASSWORD } }),
      await set(api, "db", { values: { PASSWORD } }),
    ];
    assert.deepEqual(b.body, a.body);
  });

  it("loses no value when several are set at once", async () => {
    await using api = await TestApi.start();
    const keys = Array.from({ length: 8 }, (_, i) => `KEY_${i}`);
    await Promise.all(keys.map((key) => set(api, "many", { values: { [key]: key } })));
    const { body } = await api.ask<Secret>("/v1/secrets/many");
    assert.deepEqual([body.version, body.keys], [8, keys]);
  });

  it("keeps nothing in the clear, in any table", async () => {
    await using api = await TestApi.start();
    await set(api, "db", { values: { PASSWORD: "not the last one" } });
    await set(api, "db", { values: { PASSWORD } });
    await api.deploy("demo", [{ name: "work", secrets: [{ name: "db" }] as never }]);
    const runner = await ApiRunner.join(api);
    await runner.fetch(`/containers/${await runner.container("demo", "work")}/secrets`);
    const text = await dump(api.deps);
    assert.ok(text.includes("PASSWORD") && text.includes("default"));
    for (const value of [PASSWORD, "not the last one", SECRETS_KEY]) assert.ok(!seenIn(text, value), value);
    assert.ok(!text.includes(new Uint8Array(32).fill(7).toHex()));
  });

  it("are each workspace's own", async () => {
    await using api = await TestApi.start();
    await set(api, "db", { values: { PASSWORD } });
    const key = await api.keyOf("other");
    assert.deepEqual((await api.ask("/v1/secrets", { key })).body, { items: [] });
    assert.equal((await api.ask("/v1/secrets/db", { key })).status, 404);
    assert.equal((await api.ask("/v1/secrets/db", { key, method: "DELETE" })).status, 404);
    const refused = await api.deploy("demo", [{ name: "work", secrets: [{ name: "db" }] as never }], key);
    assert.equal(refused.status, 400);
    assert.equal((await set(api, "db", { values: { PASSWORD: "theirs" } }, key)).body.version, 1);
    assert.equal((await api.ask<Secret>("/v1/secrets/db")).body.version, 1);
  });

  it("are set by those who may deploy, and listed by all", async () => {
    await using api = await TestApi.start();
    for (const scope of ["admin", "deploy", "invoke", "read"] as const) {
      const key = await api.keyOf("default", scope);
      const may = scope === "admin" || scope === "deploy";
      assert.equal((await set(api, "db", { values: { PASSWORD: scope } }, key)).status, may ? 200 : 403);
      assert.equal((await api.ask("/v1/secrets", { key })).status, 200);
      const deleted = await api.ask("/v1/secrets/db", { key, method: "DELETE" });
      assert.equal(deleted.status, may ? 200 : 403);
    }
  });

  it("are not deleted while a deployed function names them, unless that is meant", async () => {
    await using api = await TestApi.start();
    await set(api, "db", { values: { PASSWORD } });
    await api.deploy("demo", [{ name: "work", secrets: [{ name: "db" }] as never }]);
    const refused = await api.ask("/v1/secrets/db", { method: "DELETE" });
    assert.deepEqual([refused.status, refused.body.error.field], [409, "secret"]);
    assert.match(refused.body.error.message, /"demo\/work"/);
    assert.equal((await api.ask("/v1/secrets/db?force=true", { method: "DELETE" })).status, 200);
    await set(api, "db", { values: { PASSWORD } });
    await api.deploy("demo", ["work"]);
    assert.equal((await api.ask("/v1/secrets/db", { method: "DELETE" })).status, 200);
  });

  it("refuses each bad input with the field to blame, and never repeats a value", async () => {
    await using api = await TestApi.start();
    await set(api, "db", { values: { PASSWORD } });
    const SECRET = "do-not-repeat-me";
    const many = Object.fromEntries(Array.from({ length: LIMITS.secretKeys }, (_, i) => [`K${i}`, SECRET]));
    const cases: [name: string, body: Record<string, unknown>, field: string, rule: RegExp][] = [
      ["9db", { values: { A: SECRET } }, "secret", /letters, digits/],
      ["db", { values: SECRET }, "values", /record/],
      ["db", { values: { A: 7 } }, "values.A", /string/],
      ["db", { values: { "A-B": SECRET } }, "values.A-B", /variable name/],
      ["db", { values: { BERTH_SLOT: SECRET } }, "values.BERTH_SLOT", /BERTH_/],
      ["db", { values: { A: `${SECRET}\0` } }, "values.A", /NUL/],
      ["db", { values: { A: `${SECRET}\ud800` } }, "values.A", /NUL/],
      ["db", { values: { A: SECRET.repeat(LIMITS.secretBytes / 8) } }, "values", /65536/],
      ["db", { values: many }, "values", /64/],
      ["new", {}, "values", /at least one/],
      ["db", { unset: ["PASSWORD"] }, "values", /at least one/],
      ["db", { unset: ["NOTHING"] }, "unset.0", /no value "NOTHING"/],
      ["db", { values: { PASSWORD: SECRET }, unset: ["PASSWORD"] }, "unset.0", /same request/],
      ["db", { values: { A: SECRET }, unset: "A" }, "unset", /array/],
    ];
    for (const [name, body, field, rule] of cases) {
      const { status, body: { error } } = await set(api, name, body);
      assert.deepEqual([status, error?.field], [400, field], JSON.stringify(error));
      assert.match(error.message, rule);
      assert.ok(!error.message.includes(SECRET), error.message);
    }
    for (const path of ["/v1/secrets/none", "/v1/secrets?cursor=zzz", "/v1/secrets?limit=0"]) {
      assert.ok([400, 404].includes((await api.ask(path)).status), path);
    }
    assert.match((await api.ask("/v1/secrets/dbb")).body.error.message, /did you mean "db"/);
    assert.deepEqual((await api.ask<Secret>("/v1/secrets/db")).body.version, 1);
    assert.deepEqual(api.logged, []);
  });
});

describe("a deployment that names secrets", () => {
  it("is refused when one is missing, named twice, or has a path it cannot have", async () => {
    await using api = await TestApi.start();
    await set(api, "hf", { values: { HF_TOKEN: "hf_0123456789" } });
    const cases: [secrets: unknown[], field: string, rule: RegExp][] = [
      [[{ name: "hf" }, { name: "db" }], "secrets.1.name", /no secret "db".*berth secret set db/],
      [[{ name: "hg" }], "secrets.0.name", /did you mean "hf"/],
      [[{ name: "hf" }, { name: "hf", as: "files" }], "secrets.1.name", /twice/],
      [[{ name: "hf", path: "/run" }], "secrets.0.path", /files/],
      [[{ name: "hf", as: "files", path: "../run" }], "secrets.0.path", /absolute/],
      [[{ name: "hf", as: "disk" }], "secrets.0.as", /"env"/],
      [Array(LIMITS.secretsPerFunction + 1).fill({ name: "hf" }), "secrets", /16/],
    ];
    for (const [secrets, field, rule] of cases) {
      const { status, body } = await api.deploy("demo", [{ name: "work", secrets: secrets as never }]);
      assert.deepEqual([status, body.error?.field], [400, `manifest.functions.0.${field}`]);
      assert.match(body.error.message, rule);
    }
  });
});

describe("GET /v1/nodes/{node}/containers/{container}/secrets", () => {
  async function setup() {
    const api = await TestApi.start();
    await set(api, "db", { values: { PASSWORD, USER: "ann" } });
    await set(api, "hf", { values: { HF_TOKEN: "hf_0123456789" } });
    const files = { name: "db", as: "files", path: "/run/secrets" };
    await api.deploy("demo", [{ name: "work", secrets: [{ name: "hf" }, files] as never }, "other"]);
    const runner = await ApiRunner.join(api);
    const container = await runner.container("demo", "work");
    const ask = (of = container, by = runner) => by.fetch(`/containers/${of}/secrets`);
    return { api, runner, container, ask };
  }

  it("gives a live container what its function names, in order, and to no cache", async () => {
    const { api, ask, runner } = await setup();
    await using _ = api;
    const response = await ask();
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.deepEqual(await response.json(), {
      secrets: [
        { name: "hf", as: "env", values: { HF_TOKEN: "hf_0123456789" } },
        { name: "db", as: "files", path: "/run/secrets", values: { PASSWORD, USER: "ann" } },
      ],
    });
    const other = await ask(await runner.container("demo", "other"));
    assert.deepEqual(await other.json(), { secrets: [] });
  });

  it("gives nothing to another node, to a key, or for a container that has ended", async () => {
    const { api, runner, container, ask } = await setup();
    await using _ = api;
    const stranger = await ApiRunner.join(api, "two");
    assert.equal((await ask(container, stranger)).status, 404);
    const path = `/v1/nodes/${runner.node}/containers/${container}/secrets`;
    assert.equal((await api.fetch(path, { key: stranger.credential })).status, 403);
    assert.equal((await api.fetch(path)).status, 401);
    assert.equal((await api.fetch(path, { key: null })).status, 401);
    assert.equal((await ask("ctr_nothing")).status, 404);
    await api.deps.sql`update container set observed = 'exited', exited_at = now()`;
    assert.equal((await ask()).status, 404);
  });

  it("is out of reach for functions, whatever they ask in their own name", async () => {
    const { api, runner, container } = await setup();
    await using _ = api;
    const paths = [
      "/v1/secrets",
      "/v1/secrets/db",
      `/v1/nodes/${runner.node}/containers/${container}/secrets`,
    ];
    for (const path of paths) assert.equal((await runner.fetch(`/as/${container}${path}`)).status, 403);
    const changed = { method: "POST", body: { values: { PASSWORD: "mine" } } };
    assert.equal((await runner.fetch(`/as/${container}/v1/secrets/db`, changed)).status, 403);
  });

  it("says which secret was deleted", async () => {
    const { api, ask } = await setup();
    await using _ = api;
    await api.ask("/v1/secrets/db?force=true", { method: "DELETE" });
    const response = await ask();
    assert.equal(response.status, 409);
    assert.match((await response.json()).error.message, /secret "db": it was deleted/);
  });
});

describe("a change of a secret", () => {
  it("shows the scheduler which containers have the old one", async () => {
    await using api = await TestApi.start();
    await set(api, "db", { values: { PASSWORD } });
    await set(api, "hf", { values: { HF_TOKEN: "hf_0123456789" } });
    const secrets = [{ name: "db" }, { name: "hf" }];
    await api.deploy("demo", [{ name: "work", secrets: secrets as never }, "other"]);
    const runner = await ApiRunner.join(api);
    const [early, late] = [await runner.container("demo", "work"), await runner.container("demo", "work")];
    const plain = await runner.container("demo", "other");
    const ask = (id: string) => runner.fetch(`/containers/${id}/secrets`).then((answer) => answer.text());
    const seen = async () => {
      const past = { lastLease: null, hearingSince: 0 };
      const { functions, containers } = await readSnapshot(api.deps.sql, new Date(), past);
      const newest = Math.max(...functions.map((fn) => fn.secretsRevision ?? 0));
      const given = (id: string) => containers.find((one) => one.id === id)!.secretsRevision;
      const stateOf = (revision: number | null) =>
        revision === null ? "none" : revision < newest ? "old" : "newest";
      return [early, late, plain].map((id) => stateOf(given(id)));
    };
    assert.deepEqual(await seen(), ["none", "none", "none"]);
    await ask(early);
    assert.deepEqual(await seen(), ["newest", "none", "none"]);
    await set(api, "db", { values: { PASSWORD } });
    assert.deepEqual(await seen(), ["newest", "none", "none"], "the same values are no change");
    await set(api, "hf", { values: { HF_TOKEN: "hf_9876543210" } });
    await ask(late);
    assert.deepEqual(await seen(), ["old", "newest", "none"]);
    // One that is made anew has version 1, and is newer all the same.
    await api.ask("/v1/secrets/hf?force=true", { method: "DELETE" });
    await set(api, "hf", { values: { HF_TOKEN: "hf_0123456789" } });
    assert.deepEqual(await seen(), ["old", "old", "none"]);
  });

  it("of another workspace's secret of the same name concerns nobody", async () => {
    await using api = await TestApi.start();
    await set(api, "db", { values: { PASSWORD } });
    await api.deploy("demo", [{ name: "work", secrets: [{ name: "db" }] as never }]);
    const runner = await ApiRunner.join(api);
    const container = await runner.container("demo", "work");
    await (await runner.fetch(`/containers/${container}/secrets`)).text();
    await set(api, "db", { values: { PASSWORD: "theirs" } }, await api.keyOf("other"));
    const { functions: [fn], containers: [one] } = await readSnapshot(api.deps.sql, new Date(), {
      lastLease: null,
      hearingSince: 0,
    });
    assert.ok(fn!.secretsRevision !== null && fn!.secretsRevision === one!.secretsRevision);
  });
});

describe("master keys", () => {
  it("rotate: old ones open, and reseal puts every workspace's secrets under the newest", async () => {
    await using api = await TestApi.start({ secretKeys: [SECRETS_KEY] });
    await set(api, "db", { values: { PASSWORD } });
    await set(api, "db", { values: { PASSWORD: "theirs" } }, await api.keyOf("other"));
    // An api that was started anew with another key before the old one.
    const vault = new Vault(keyringOf([OTHER_KEY, SECRETS_KEY]), realRandom);
    const handlers = secretHandlers({ ...api.deps, vault });
    const operator = { workspace: "default" } as never;
    const reseal = () => handlers.resealSecrets({}, operator);
    assert.deepEqual(await reseal(), { resealed: 2, keyId: vault.keyId });
    assert.deepEqual(await reseal(), { resealed: 0, keyId: vault.keyId });
    const lost = await set(api, "db", { values: { PASSWORD: "newer" } });
    assert.deepEqual([lost.status, lost.body.error.code], [503, "unavailable"]);
    assert.match(lost.body.error.message, /BERTH_SECRETS_KEYS_OLD/);
    const changed = { secret: "db", values: { USER: "ann" }, unset: [] };
    const after = await handlers.setSecret(changed, operator) as Secret;
    assert.deepEqual([after.version, after.keys], [2, ["PASSWORD", "USER"]]);
  });

  it("are sealed anew by operators alone", async () => {
    await using api = await TestApi.start();
    const key = await api.keyOf("other");
    assert.equal((await api.ask("/v1/sealing/reseal", { method: "POST", key })).status, 403);
    assert.equal((await api.ask("/v1/sealing/reseal", { method: "POST" })).status, 200);
  });

  it("are needed: a platform without any says so", async () => {
    await using api = await TestApi.start({ secretKeys: [] });
    const { status, body } = await set(api, "db", { values: { PASSWORD } });
    assert.deepEqual([status, body.error.code], [503, "unavailable"]);
    assert.match(body.error.message, /BERTH_SECRETS_KEY/);
    assert.equal((await api.ask("/v1/secrets")).status, 200);
  });
});
