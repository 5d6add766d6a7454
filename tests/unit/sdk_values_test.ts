import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { PlatformError } from "../../sdk/errors.ts";
import { isReference, isReferenceText, LIMITS, referenceText } from "../../sdk/protocol.ts";
import { httpTransport, type Transport, type Wire } from "../../sdk/transport.ts";
import { incoming, outgoing } from "../../sdk/values.ts";
import { ManualClock } from "../setup/manual_clock.ts";

const ID = "0123456789abcdef".repeat(2);
const LARGE = JSON.stringify("€".repeat(LIMITS.inputBytes / 2));

const wireOver = (transport: Transport): Wire => ({
  transport,
  clock: new ManualClock(),
  random: { next: () => 0, bytes: (n) => new Uint8Array(n) },
  patienceMs: 60_000,
});
const nowhere = { target: "nowhere", fetch: () => Promise.reject(new Error("nothing should travel")) };

describe("isReference()", () => {
  it("knows exactly what referenceText() makes", () => {
    assert.ok(isReferenceText(referenceText(ID)) && isReference(JSON.parse(referenceText(ID))));
    for (
      const other of [null, 1, "$blob", [], { $blob: 1 }, { $blob: ID, more: 1 }, { $blob: ID.slice(1) }, [
        ID,
      ]]
    ) {
      assert.ok(!isReference(other), JSON.stringify(other));
    }
  });
});

describe("outgoing()", () => {
  it("lets small values travel as they are, without a wait", () => {
    const most = JSON.stringify("x".repeat(LIMITS.inputBytes - 2));
    for (const text of ["null", '{"$blob":1}', most]) {
      assert.equal(outgoing(wireOver(nowhere), text, "it"), text);
    }
  });

  it("uploads large ones, and what looks like a reference, past the api and without the key", async () => {
    const seen: unknown[] = [];
    let lost = 1;
    const fetch = (url: string | URL, init: RequestInit = {}) => {
      const { authorization, ...headers } = init.headers as Record<string, string>;
      const size = init.body instanceof Uint8Array ? init.body.length : JSON.parse(String(init.body)).size;
      seen.push([
        init.method,
        String(url),
        authorization !== undefined,
        headers["if-none-match"] ?? null,
        size,
      ]);
      const created = { id: ID, url: "http://s3/bucket/k?signature=1", headers: { "if-none-match": "*" } };
      if (init.method === "POST") return Promise.resolve(Response.json(created, { status: 201 }));
      if (lost-- > 0) return Promise.reject(new TypeError("connection lost"));
      return Promise.resolve(new Response("<Code>PreconditionFailed</Code>", { status: 412 }));
    };
    const wire = wireOver(httpTransport({ url: "http://berth", key: "k", fetch }));
    const text = outgoing(wire, LARGE, "it");
    await (wire.clock as ManualClock).advance(1_000);
    assert.equal(await text, referenceText(ID), "created by the first try, whose answer was lost");
    const size = new TextEncoder().encode(LARGE).length;
    const put = ["PUT", "http://s3/bucket/k?signature=1", false, "*", size];
    assert.deepEqual(seen.splice(0), [["POST", "http://berth/v1/values", true, null, size], put, put]);
    assert.equal(await outgoing(wire, referenceText(ID), "it"), referenceText(ID));
    assert.equal(seen.length, 2);
  });

  it("takes the transport's own way where it has one, and refuses where there is none", async () => {
    const stored: number[] = [];
    const values = {
      saveValue: (bytes: Uint8Array) => Promise.resolve((stored.push(bytes.length), ID)),
      loadValue: () => Promise.resolve(new TextEncoder().encode('{"a":1}')),
    };
    const wire = wireOver({ ...nowhere, values });
    assert.equal(await outgoing(wire, LARGE, "it"), referenceText(ID));
    assert.equal(stored.length, 1);
    assert.deepEqual(await incoming(wire, { $blob: ID }), { a: 1 });
    assert.throws(
      () => outgoing(wireOver(nowhere), LARGE, "input 3"),
      (error) =>
        error instanceof PlatformError && error.code === "too_large" &&
        /^Cannot send input 3:/.test(error.message),
    );
  });
});

describe("incoming()", () => {
  it("gives what came, or what a reference that came stands for", async () => {
    const fetch = (url: string | URL) => Promise.resolve(Response.json(String(url)));
    const wire = wireOver(httpTransport({ url: "http://berth", key: "k", fetch }));
    for (const value of [null, 7, { $blob: 1 }, undefined]) assert.equal(incoming(wire, value), value);
    assert.equal(await incoming(wire, { $blob: ID }), `http://berth/v1/values/${ID}`);
  });
});
