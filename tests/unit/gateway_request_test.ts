import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import {
  belowMount,
  type HeadFacts,
  parseTarget,
  requestHead,
  responseHeaders,
} from "../../api/gateway/request.ts";

const target = parseTarget("http://berth.test:8080/e/digits/classify/a/b?c=d")!;

function head(headers: HeadersInit, more: Partial<HeadFacts> = {}): string[] {
  return requestHead({
    method: "GET",
    target,
    headers: new Headers(headers),
    bodyBytes: undefined,
    hideAuthorization: false,
    requestId: "req_1",
    peer: "10.0.0.9",
    ...more,
  }).split("\r\n");
}

const OURS = [
  "x-forwarded-for: 10.0.0.9",
  "x-forwarded-host: berth.test:8080",
  "x-forwarded-proto: http",
  "x-request-id: req_1",
  "berth-url: http://berth.test:8080/e/digits/classify/a/b?c=d",
  "berth-endpoint: classify",
];

describe("belowMount()", () => {
  const below = (url: string) => belowMount(parseTarget(url)!).path;

  it("belowMount() asks for what comes behind the endpoint", () => {
    assert.equal(below("http://h/e/a/b/c/d?x=1"), "/c/d?x=1");
    assert.equal(below("http://h/e/a/b/"), "/");
    assert.equal(below("http://h/e/a/b"), "/");
    assert.equal(below("http://h/e/a/b?x=/y"), "/?x=/y");
    assert.equal(below("http://h/e/a/b//c"), "//c");
  });

  it("belowMount() tells the program where it is mounted", () => {
    const lines = head({}, { target: belowMount(target) });
    assert.equal(lines[0], "GET /a/b?c=d HTTP/1.1");
    assert.ok(lines.includes("x-forwarded-prefix: /e/digits/classify"));
    assert.ok(!head({}).some((line) => line.startsWith("x-forwarded-prefix")));
  });
});

describe("parseTarget()", () => {
  it("parseTarget() reads app, endpoint, path and query", () => {
    assert.deepEqual(target, {
      app: "digits",
      endpoint: "classify",
      path: "/e/digits/classify/a/b?c=d",
      url: "http://berth.test:8080/e/digits/classify/a/b?c=d",
      protocol: "http",
      host: "berth.test:8080",
    });
    assert.equal(parseTarget("http://h/e/a/b")?.path, "/e/a/b");
    assert.equal(parseTarget("http://h/e/a/b?x=/e/c/d")?.endpoint, "b");
    assert.equal(parseTarget("https://h/e/a/b/")?.protocol, "https");
  });

  it("parseTarget() leaves the path as it was sent", () => {
    assert.equal(parseTarget("http://h/e/a/b/../%2e%2E//c?%20")?.path, "/e/a/b/../%2e%2E//c?%20");
  });

  it("parseTarget() encodes what may not stand in a request line, and drops the fragment", () => {
    assert.equal(parseTarget("http://h/e/a/b/é x#f")?.path, "/e/a/b/%C3%A9%20x");
    assert.equal(parseTarget("http://h/e/a/b#f")?.url, "http://h/e/a/b");
    assert.equal(parseTarget("http://h/e/a/b/\r\nx: y")?.path, "/e/a/b/x:%20y");
  });

  it("parseTarget() gives nothing for other paths and for names that no app has", () => {
    for (
      const path of [
        "/e",
        "/e/a",
        "/e//b",
        "/e/a/",
        "/x/a/b",
        "/e/a?b/c",
        "/e/1a/b",
        "/e/a/b%2f",
        "/e/a/b c",
        "/",
        "/é",
      ]
    ) {
      assert.equal(parseTarget(`http://h${path}`), null, path);
    }
    assert.equal(parseTarget("http://é :x/e/a/b"), null);
  });
});

describe("requestHead()", () => {
  it("requestHead() passes headers on and adds ours", () => {
    assert.deepEqual(head({ accept: "text/html", cookie: "a=1; b=2" }), [
      "GET /e/digits/classify/a/b?c=d HTTP/1.1",
      "host: berth.test:8080",
      "accept: text/html",
      "cookie: a=1; b=2",
      ...OURS,
      "",
      "",
    ]);
  });

  it("requestHead() drops what belongs to one connection, also what `connection` names, and never ours", () => {
    const lines = head({
      connection: "Keep-Alive, X-Secret, berth-url, host",
      "x-secret": "1",
      "keep-alive": "timeout=5",
      "te": "trailers",
      "trailer": "x",
      "transfer-encoding": "chunked",
      "upgrade": "h2c",
      "proxy-authorization": "x",
      "expect": "100-continue",
      "content-length": "7",
    });
    assert.deepEqual(lines.slice(1), ["host: berth.test:8080", ...OURS, "", ""]);
  });

  it("requestHead() believes nothing a client says in our name", () => {
    const lines = head({
      "berth-endpoint": "admin",
      "Berth-Workspace": "x",
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-proto": "https",
      "x-request-id": "mine",
      forwarded: "for=127.0.0.1",
    });
    assert.deepEqual(lines.slice(1), ["host: berth.test:8080", ...OURS, "", ""]);
  });

  it("requestHead() hides the platform's key, and only that", () => {
    const authorization = "Bearer berth_1";
    assert.ok(!head({ authorization }, { hideAuthorization: true }).some((line) => line.includes("berth_1")));
    assert.ok(head({ authorization: "Basic x" }).includes("authorization: Basic x"));
  });

  it("requestHead() announces the body in exactly one way", () => {
    const framing = (more: Partial<HeadFacts>) =>
      head({ "content-length": "3" }, more).filter((line) =>
        /^(content-length|transfer-encoding):/.test(line)
      );
    assert.deepEqual(framing({ method: "POST", bodyBytes: 12 }), ["content-length: 12"]);
    assert.deepEqual(framing({ method: "POST", bodyBytes: null }), ["transfer-encoding: chunked"]);
    assert.deepEqual(framing({ method: "POST" }), ["content-length: 0"]);
    assert.deepEqual(framing({ method: "GET" }), []);
    assert.deepEqual(framing({ method: "DELETE" }), []);
  });
});

describe("responseHeaders()", () => {
  it("responseHeaders() keeps repeated headers apart, drops those of the connection, and names the request", () => {
    const headers = responseHeaders([
      ["set-cookie", "a=1"],
      ["set-cookie", "b=2"],
      ["connection", "x-hop"],
      ["connection", "close"],
      ["x-hop", "1"],
      ["transfer-encoding", "chunked"],
      ["keep-alive", "timeout=5"],
      ["x-request-id", "theirs"],
      ["content-encoding", "gzip"],
    ], { sized: false, requestId: "req_1" });
    assert.deepEqual([...headers], [
      ["content-encoding", "gzip"],
      ["set-cookie", "a=1"],
      ["set-cookie", "b=2"],
      ["x-request-id", "req_1"],
    ]);
  });

  it("responseHeaders() leaves the length to the server when the body is in memory", () => {
    const length = (sized: boolean) =>
      responseHeaders([["content-length", "5"]], { sized, requestId: "" }).get("content-length");
    assert.deepEqual([length(false), length(true)], ["5", null]);
  });
});
