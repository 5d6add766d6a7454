import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { contentRange, parseRange } from "../../api/blobs/range.ts";
import { isAnswer, isS3Error, s3Error } from "../../api/blobs/s3_errors.ts";
import { BlobUrls, URL_KEY_BYTES } from "../../api/blobs/urls.ts";
import { PlatformError } from "../../sdk/errors.ts";

describe("parseRange()", () => {
  it("reads one range of bytes, as far as there are any", () => {
    const cases: [string, ReturnType<typeof parseRange>][] = [
      ["bytes=0-", { from: 0, to: 10 }],
      ["bytes=0-0", { from: 0, to: 1 }],
      ["bytes=3-6", { from: 3, to: 7 }],
      ["bytes=9-", { from: 9, to: 10 }],
      ["bytes=3-1000", { from: 3, to: 10 }],
      ["bytes=-4", { from: 6, to: 10 }],
      ["bytes=-1000", { from: 0, to: 10 }],
    ];
    for (const [header, part] of cases) assert.deepEqual(parseRange(header, 10), part, header);
    assert.equal(contentRange({ from: 3, to: 7 }, 10), "bytes 3-6/10");
  });

  it("says when nothing is in it", () => {
    for (const header of ["bytes=10-", "bytes=10-12", "bytes=-0"]) {
      assert.equal(parseRange(header, 10), "unsatisfiable", header);
    }
    assert.equal(parseRange("bytes=0-", 0), "unsatisfiable");
  });

  it("ignores what is no range, or several", () => {
    for (const header of [undefined, "", "bytes=-", "bytes=6-3", "bytes=0-1,4-5", "bytes=a-b", "rows=1-2"]) {
      assert.equal(parseRange(header, 10), null, header);
    }
  });
});

describe("BlobUrls", () => {
  const setup = () => {
    let now = 1_000_000;
    const clock = { now: () => now };
    const urls = new BlobUrls({ key: new Uint8Array(URL_KEY_BYTES).fill(1), clock });
    const queryOf = (url: string) => Object.fromEntries(new URL(url, "http://berth").searchParams);
    return { urls, clock, queryOf, pass: (ms: number) => now += ms };
  };
  const forbidden = (why: RegExp) => (error: unknown) =>
    error instanceof PlatformError && error.code === "forbidden" && why.test(error.message);

  it("verifies what it has signed, until that expires", () => {
    const { urls, queryOf, pass } = setup();
    const { url } = urls.sign("a/b", { method: "PUT", size: 7, expiresInMs: 1_000 });
    assert.match(url, /^\/v1\/blobs\/a\/b\?/);
    assert.deepEqual(urls.verify("PUT", "a/b", queryOf(url)), { size: 7, part: undefined });
    pass(999);
    urls.verify("PUT", "a/b", queryOf(url));
    pass(1);
    assert.throws(() => urls.verify("PUT", "a/b", queryOf(url)), forbidden(/its time is over/));
  });

  it("refuses every change, and what another key has signed", () => {
    const { urls, clock, queryOf } = setup();
    const query = queryOf(urls.sign("a/b", { method: "GET", expiresInMs: 1_000 }).url);
    const notOurs = forbidden(/its signature is not ours/);
    assert.throws(() => urls.verify("PUT", "a/b", query), notOurs);
    assert.throws(() => urls.verify("GET", "a/c", query), notOurs);
    assert.throws(() => urls.verify("GET", "a/b", { ...query, expires: "2000000" }), notOurs);
    assert.throws(() => urls.verify("GET", "a/b", { ...query, size: "1" }), notOurs);
    assert.throws(() => urls.verify("GET", "a/b", { ...query, signature: "0".repeat(64) }), notOurs);
    const others = new BlobUrls({ key: new Uint8Array(URL_KEY_BYTES).fill(2), clock });
    assert.throws(() => others.verify("GET", "a/b", query), notOurs);
    for (const signature of ["", "zz", "00"]) {
      assert.throws(
        () => urls.verify("GET", "a/b", { ...query, signature }),
        forbidden(/it carries no signature/),
      );
    }
    assert.throws(() => urls.verify("GET", "a/b", {}), forbidden(/it carries no signature/));
  });
});

describe("s3Error()", () => {
  const answered = (name: string, httpStatusCode?: number) =>
    Object.assign(new Error("connect ECONNREFUSED"), {
      name,
      $metadata: { ...httpStatusCode && { httpStatusCode } },
    });
  const place = { endpoint: "https://s3.example", bucket: "models" };

  it("names the setting to blame", () => {
    const cases: [string, number, RegExp][] = [
      ["SignatureDoesNotMatch", 403, /S3_SECRET_ACCESS_KEY is not the secret of this key$/],
      ["InvalidAccessKeyId", 403, /does not know the key of S3_ACCESS_KEY_ID$/],
      ["AccessDenied", 403, /S3_ACCESS_KEY_ID may not do this in bucket "models"$/],
      ["NoSuchBucket", 404, /there is no bucket "models"/],
      ["RequestTimeTooSkewed", 403, /clock and ours differ/],
      ["Teapot", 418, /it answered 418 \(Teapot\)$/],
    ];
    for (const [name, status, why] of cases) {
      const error = s3Error(answered(name, status), 'get blob "k"', place);
      assert.match(error.message, /^Cannot get blob "k" on S3 at https:\/\/s3.example: /);
      assert.match(error.message, why);
      assert.ok(!(error instanceof PlatformError), name);
    }
  });

  it("tells a server that is away, so that one tries again", () => {
    for (const error of [answered("Error"), answered("SlowDown", 503), answered("InternalError", 500)]) {
      const told = s3Error(error, "list blobs", place);
      assert.ok(
        told instanceof PlatformError && told.code === "unavailable" && told.retryAfterMs !== undefined,
      );
      assert.equal(told.cause, error);
    }
  });

  it("isAnswer() and isS3Error() know what S3 says from what others throw", () => {
    assert.ok(isAnswer(answered("NoSuchKey", 404), 404, "NoSuchKey"));
    assert.ok(!isAnswer(answered("NoSuchBucket", 404), 404, "NoSuchKey"));
    assert.ok(!isAnswer(new Error("cut off"), 404));
    assert.ok(!isS3Error(new PlatformError("too_large", "Cannot accept the body")) && !isS3Error("text"));
  });
});
