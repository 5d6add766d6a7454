import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { removeManifest } from "../../runner/engines/oci/registry.ts";
import { parseReference } from "../../sdk/image_reference.ts";
import { ManualClock } from "../setup/manual_clock.ts";

const IMAGE = parseReference(`registry.example/team/x@sha256:${"a".repeat(64)}`);

/** A registry that answers in turn; what it was asked, as `METHOD URL AUTHORIZATION`. */
function registry(...answers: Response[]) {
  const asked: string[] = [];
  const fetch = (input: string | URL, init: RequestInit = {}): Promise<Response> => {
    const { authorization = "–" } = (init.headers ?? {}) as Record<string, string>;
    asked.push(
      `${init.method ?? "GET"} ${decodeURIComponent(String(input))} ${authorization} ${init.body ?? ""}`
        .trim(),
    );
    return Promise.resolve(answers.shift()!);
  };
  return { asked, fetch };
}

const remove = (fetch: ReturnType<typeof registry>["fetch"], credential = {}) =>
  removeManifest(
    { fetch, credentials: new Map([[IMAGE.registry, credential]]), ca: undefined, clock: new ManualClock() },
    IMAGE,
    new AbortController().signal,
  );

const challenge = () =>
  new Response(null, {
    status: 401,
    headers: { "www-authenticate": 'Bearer realm="https://auth.example/token",service="registry"' },
  });

describe("removeManifest()", () => {
  it("gets a token where the registry says, by its password, and deletes with that", async () => {
    const { asked, fetch } = registry(
      challenge(),
      Response.json({ token: "t" }),
      new Response(null, { status: 202 }),
    );
    assert.equal(await remove(fetch, { username: "ann", password: "s3cret" }), null);
    const url = `DELETE https://registry.example/v2/team/x/manifests/${IMAGE.tag}`,
      basic = `Basic ${btoa("ann:s3cret")}`;
    assert.deepEqual(asked, [
      `${url} ${basic}`,
      `GET https://auth.example/token?service=registry&scope=repository:team/x:pull,push,delete ${basic}`,
      `${url} Bearer t`,
    ]);
  });

  it("exchanges what a login has left for a token", async () => {
    const { asked, fetch } = registry(
      challenge(),
      Response.json({ access_token: "t" }),
      new Response(null, { status: 202 }),
    );
    assert.equal(await remove(fetch, { identityToken: "refresh" }), null);
    assert.match(
      asked[1]!,
      /^POST https:\/\/auth\.example\/token – .*grant_type=refresh_token&refresh_token=refresh/,
    );
  });

  it("says why an image stays, and never fails", async () => {
    const refusals: [Response, RegExp][] = [
      [
        new Response(null, { status: 405 }),
        /^Registry registry\.example keeps it: it does not allow deletion \(405\)/,
      ],
      [new Response(null, { status: 403 }), /this node may not delete there \(403\), see --registry-auth/],
      [new Response("on fire", { status: 500 }), /it answered 500 on fire$/],
    ];
    for (const [answer, why] of refusals) assert.match((await remove(registry(answer).fetch))!, why);
    assert.match((await remove(() => Promise.reject(new Error("no route"))))!, /keeps it: no route$/);
    assert.match(
      (await remove(registry(challenge(), new Response("who?", { status: 401 })).fetch))!,
      /\(401\): who\?$/,
    );
  });
});
