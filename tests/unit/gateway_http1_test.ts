import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { decoderOf } from "../../api/gateway/body.ts";
import { HeadReader, Http1Error, type ResponseHead } from "../../api/gateway/http1.ts";

const bytes = (text: string): Uint8Array<ArrayBuffer> => Uint8Array.from(text, (c) => c.charCodeAt(0));
const text = (data: Uint8Array): string => String.fromCharCode(...data);

interface Read {
  head: ResponseHead;
  body: string;
  done: boolean;
  excess: boolean;
}

/** Reads a response that arrives in these pieces, each in memory that is overwritten after use, and then ends. */
function read(pieces: readonly string[], method = "GET", { end = false } = {}): Read {
  const reader = new HeadReader(method);
  let head: ResponseHead | undefined;
  let decoder: ReturnType<typeof decoderOf> | undefined;
  let body = "";
  for (const piece of pieces) {
    let memory = bytes(piece);
    if (decoder === undefined) {
      const found = reader.push(memory);
      if (found === null) {
        memory.fill(0x78);
        continue;
      }
      head = found.head;
      decoder = decoderOf(head.framing);
      memory = found.rest;
    }
    body += text(decoder.push(memory));
  }
  if (head === undefined || decoder === undefined) throw new Http1Error("no head");
  if (end) decoder.end();
  return { head, body, done: decoder.done, excess: decoder.excess };
}

const refuses = (response: string, method = "GET") =>
  assert.throws(() => read([response], method), Http1Error, JSON.stringify(response.slice(0, 200)));

const CHUNKED = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

describe("HeadReader", () => {
  it("HeadReader reads status, headers in order and lower case, and values without the blanks around them", () => {
    const { head } = read([
      "HTTP/1.1 404 Not Found\r\nX-A:  1 \t\r\nSet-Cookie: a\r\nset-cookie: b\r\nempty:\r\n\r\n",
    ]);
    assert.equal(head.status, 404);
    assert.deepEqual(head.headers, [["x-a", "1"], ["set-cookie", "a"], ["set-cookie", "b"], ["empty", ""]]);
  });

  it("HeadReader gives the same head and body wherever the bytes are split", () => {
    const responses = [
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\na: b\r\n\r\nhello",
      `${CHUNKED}5;name="v"\r\nhello\r\n1\r\n!\r\n0\r\ntrailer: t\r\n\r\n`,
    ];
    for (const response of responses) {
      const whole = read([response]);
      assert.equal(whole.done, true);
      assert.deepEqual(read([...response]), whole);
      for (let i = 1; i < response.length; i++) {
        assert.deepEqual(read([response.slice(0, i), response.slice(i)]), whole, `split at ${i}`);
      }
      for (let i = 1; i < response.length; i += 3) {
        for (let j = i + 1; j < response.length; j += 5) {
          assert.deepEqual(
            read([response.slice(0, i), response.slice(i, j), response.slice(j)]),
            whole,
            `split at ${i}, ${j}`,
          );
        }
      }
    }
  });

  it("HeadReader refuses what is not an HTTP/1 status line", () => {
    for (
      const line of [
        "",
        "HTTP/2 200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1  200 OK",
        "http/1.1 200 OK",
        "HTTP/1.1 600 X",
        "HTTP/1.1 099 X",
        "HTTP/1.1 200 a\x01b",
        "HTTP/1.2 200 OK",
        " HTTP/1.1 200 OK",
        "HTTP/1.1 200\tOK",
        "GET / HTTP/1.1",
      ]
    ) {
      refuses(`${line}\r\ncontent-length: 0\r\n\r\n`);
    }
    assert.equal(read(["HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n"]).head.status, 200);
  });

  it("HeadReader refuses header lines that another reader could read differently", () => {
    for (
      const line of [
        "a : b",
        " a: b",
        "a",
        ": b",
        "a: b\nc: d",
        "a: b\rc: d",
        "a: \0",
        "a: b\x7f",
        "a\xe9: b",
        "a: 1\r\n folded",
        "a: 1\r\n\tfolded",
        "a\0: b",
        "a(: b",
      ]
    ) {
      refuses(`HTTP/1.1 200 OK\r\n${line}\r\ncontent-length: 0\r\n\r\n`);
    }
    const { head } = read(["HTTP/1.1 200 OK\r\na: \xe9 \x80\r\ncontent-length: 0\r\n\r\n"]);
    assert.deepEqual(head.headers[0], ["a", "\xe9 \x80"]);
  });

  it("HeadReader does not end a head at bare line feeds", () => {
    assert.throws(() => read(["HTTP/1.1 200 OK\n\n"]), /no head/);
  });

  it("HeadReader refuses a head that is too long, however it arrives", () => {
    const long = `HTTP/1.1 200 OK\r\nx: ${"y".repeat(33_000)}`;
    refuses(`${long}\r\ncontent-length: 0\r\n\r\n`);
    refuses(long);
    assert.throws(() => read(Array.from({ length: 40 }, () => "y".repeat(1_000))), Http1Error);
    const fits = `HTTP/1.1 200 OK\r\nx: ${"y".repeat(30_000)}\r\ncontent-length: 0\r\n\r\n`;
    assert.equal(read([fits]).head.status, 200);
  });

  it("HeadReader refuses endless interim heads, and a switch of protocols", () => {
    refuses("HTTP/1.1 100 Continue\r\n\r\n".repeat(9) + "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    refuses("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n");
  });

  it("HeadReader says whether the connection lives on", () => {
    const keeps = (version: string, connection: string) =>
      read([`HTTP/${version} 200 OK\r\n${connection}content-length: 0\r\n\r\n`]).head.keepAlive;
    assert.equal(keeps("1.1", ""), true);
    assert.equal(keeps("1.1", "Connection: x, Close\r\n"), false);
    assert.equal(keeps("1.1", "connection: x\r\nconnection: close\r\n"), false);
    assert.equal(keeps("1.0", ""), false);
    assert.equal(keeps("1.0", "connection: Keep-Alive\r\n"), true);
  });

  it("HeadReader is untouched until the first byte", () => {
    const reader = new HeadReader("GET");
    assert.equal(reader.untouched, true);
    reader.push(bytes("H"));
    assert.equal(reader.untouched, false);
  });
});

describe("framing", () => {
  it("framing: HEAD, 204, 205 and 304 have no body whatever their headers say", () => {
    assert.deepEqual(read(["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"], "HEAD").head.framing, {
      kind: "none",
    });
    assert.deepEqual(read([CHUNKED], "HEAD").head.framing, { kind: "none" });
    for (const status of [204, 205, 304]) {
      assert.deepEqual(read([`HTTP/1.1 ${status} X\r\ncontent-length: 9\r\n\r\n`]).head.framing, {
        kind: "none",
      });
    }
    assert.equal(read(["HTTP/1.1 204 No Content\r\n\r\nsurprise"]).excess, true);
  });

  it("framing: content-length ends the body, and bytes beyond it are excess", () => {
    const exact = read(["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", "lo"], "GET", { end: true });
    assert.deepEqual([exact.body, exact.done, exact.excess], ["hello", true, false]);
    const more = read(["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n"]);
    assert.deepEqual([more.body, more.done, more.excess], ["hello", true, true]);
    const late = read(["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "x"]);
    assert.equal(late.excess, true);
  });

  it("framing: a connection that ends early is an error", () => {
    assert.throws(
      () => read(["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell"], "GET", { end: true }),
      /1 bytes early/,
    );
    assert.throws(() => read([`${CHUNKED}5\r\nhello\r\n`], "GET", { end: true }), /before the last chunk/);
    assert.throws(
      () => read([`${CHUNKED}5\r\nhello\r\n0\r\n`], "GET", { end: true }),
      /before the last chunk/,
    );
  });

  it("framing: without a length the body ends with the connection", () => {
    const open = read(["HTTP/1.1 200 OK\r\n\r\nhel", "lo"]);
    assert.deepEqual([open.body, open.done], ["hello", false]);
    assert.equal(read(["HTTP/1.1 200 OK\r\n\r\nhello"], "GET", { end: true }).done, true);
  });

  it("framing: lengths that could be read in two ways are refused", () => {
    for (
      const headers of [
        "content-length: 5\r\ncontent-length: 5",
        "content-length: 5, 5",
        "content-length: +5",
        "content-length: -5",
        "content-length: 0x5",
        "content-length: 5 5",
        "content-length:",
        "content-length: 9999999999999999",
        "content-length: 5.0",
        "content-length: ٥",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: identity",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: xchunked",
      ]
    ) {
      refuses(`HTTP/1.1 200 OK\r\n${headers}\r\n\r\n`);
    }
    refuses("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    assert.deepEqual(read(["HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\n"]).head.framing, {
      kind: "chunked",
    });
  });
});

describe("chunked", () => {
  it("chunked: joins the chunks of one read, ignores extensions and trailers, takes hex of either case", () => {
    const { body, done, excess } = read([
      `${CHUNKED}a\r\n0123456789\r\n00B ; x=y\r\nabcdefghijk\r\n0\r\na: b\r\nc: d\r\n\r\n`,
    ]);
    assert.deepEqual([body, done, excess], ["0123456789abcdefghijk", true, false]);
  });

  it("chunked: body bytes may be anything, line ends included", () => {
    assert.equal(read([`${CHUNKED}6\r\n\r\n0\r\n\r\r\n0\r\n\r\n`]).body, "\r\n0\r\n\r");
  });

  it("chunked: refuses sizes that are not plain hex, and lines that do not end in CRLF", () => {
    for (
      const chunk of [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x5\r\nhello\r\n",
        "5\nhello\r\n",
        "5\r\nhelloX\r\n",
        "5\r\nhello\n",
        "5\r\r\nhello",
        "1 1\r\n",
        "1000000000000\r\n",
        "5;\x01\r\nhello",
        " 5\r\nhello",
        "5\0\r\nhello",
      ]
    ) {
      refuses(CHUNKED + chunk);
    }
  });

  it("chunked: refuses endless size lines and trailers", () => {
    refuses(`${CHUNKED}5;${"x".repeat(1_100)}`);
    refuses(`${CHUNKED}0\r\n${"a: b\r\n".repeat(2_000)}`);
    refuses(`${CHUNKED}${"0".repeat(13)}\r\n`);
  });

  it("chunked: bytes behind the last chunk are excess and not body", () => {
    const { body, excess } = read([`${CHUNKED}1\r\nx\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n`]);
    assert.deepEqual([body, excess], ["x", true]);
  });
});
