import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { quoted } from "../../runner/engines/process_exec.ts";
import { ExecChannel, parseSaid, type Socket } from "../../sdk/exec_channel.ts";
import { ExecSaid, LIMITS } from "../../sdk/protocol.ts";
import { settle } from "../setup/manual_clock.ts";

/** A socket of which the test is the other side. */
class FakeSocket implements Socket {
  binaryType: BinaryType = "blob";
  readyState = 1;
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  onerror: Socket["onerror"] = null;
  readonly sent: (string | Uint8Array)[] = [];

  send(data: string | ArrayBufferLike | Blob | ArrayBufferView): void {
    this.sent.push(typeof data === "string" ? data : data as Uint8Array);
  }

  close(): void {
    this.readyState = 3;
    this.onclose?.call(this as unknown as WebSocket, {} as CloseEvent);
  }

  /** Something arrives. */
  arrive(data: unknown): void {
    this.onmessage?.call(this as unknown as WebSocket, { data } as MessageEvent);
  }

  bytes(): number {
    return this.sent.reduce((sum, one) => sum + (typeof one === "string" ? 0 : one.length - 1), 0);
  }
}

function setup() {
  const socket = new FakeSocket();
  return { socket, channel: new ExecChannel(socket) };
}

const stdout = (...bytes: number[]) => new Uint8Array([1, ...bytes]).buffer;
const words = (said: ExecSaid) => JSON.stringify(said);

describe("ExecChannel", () => {
  it("ExecChannel tells bytes and words in their order, each when the one before is used", async () => {
    const { socket, channel } = setup();
    const heard: unknown[] = [];
    const slow = Promise.withResolvers<void>();
    socket.arrive(stdout(1, 2)); // before anybody listens
    socket.arrive(words({ t: "exit", code: 0, signal: null }));
    channel.listen({
      bytes: async (stream, bytes) => {
        await slow.promise;
        heard.push([stream, ...bytes]);
      },
      said: ({ t }) => void heard.push(t),
    });
    await settle();
    assert.deepEqual([heard, socket.sent], [[], []]);
    slow.resolve();
    await settle();
    assert.deepEqual(heard, [["stdout", 1, 2], "exit"]);
    assert.deepEqual(socket.sent, [words({ t: "taken", bytes: 2 })]);
  });

  it("ExecChannel sends no more than the window, and goes on as it is used", async () => {
    const { socket, channel } = setup();
    let sent: boolean | null = null;
    channel.send("stdout", new Uint8Array(3 * LIMITS.execWindowBytes)).then((done) => sent = done);
    await settle();
    assert.equal(socket.bytes(), LIMITS.execWindowBytes);
    for (let windows = 2; windows <= 3; windows++) {
      socket.arrive(words({ t: "taken", bytes: LIMITS.execWindowBytes }));
      await settle();
      assert.equal(socket.bytes(), windows * LIMITS.execWindowBytes);
    }
    assert.equal(sent, true);
  });

  it("ExecChannel gives up sending when the other side goes", async () => {
    const { socket, channel } = setup();
    const sent = channel.send("stdin", new Uint8Array(2 * LIMITS.execWindowBytes));
    await settle();
    socket.close();
    assert.equal(await sent, false);
    await channel.gone;
    await channel.finished;
  });

  it("ExecChannel knows whether it could be opened", async () => {
    const [open, refused] = [setup(), setup()];
    open.socket.onopen?.call(open.socket as unknown as WebSocket, {} as Event);
    refused.socket.close();
    assert.deepEqual(await Promise.all([open.channel.opened, refused.channel.opened]), [true, false]);
  });

  it("ExecChannel hangs up on who speaks something else", () => {
    const wrong = [
      "hello",
      "{}",
      '{"t":"exit"}',
      new Uint8Array([9, 1]).buffer,
      new ArrayBuffer(0),
      new ArrayBuffer(70_000),
    ];
    for (const data of wrong) {
      const { socket } = setup();
      socket.arrive(data);
      assert.equal(socket.readyState, 3, String(data));
    }
  });
});

describe("ExecChannel and its window", () => {
  it("ExecChannel hangs up on who sends more than it may", () => {
    const { socket } = setup();
    for (let n = 0; n < 40 && socket.readyState === 1; n++) socket.arrive(new Uint8Array(65_000).buffer);
    assert.equal(socket.readyState, 3);
  });
});

describe("ExecSaid", () => {
  it("ExecSaid refuses commands and terminals that are none", () => {
    const open = (more: object) => parseSaid(JSON.stringify({ t: "open", command: ["ls"], ...more }));
    assert.notEqual(open({ tty: { columns: 80, rows: 24, term: "xterm-256color" } }), null);
    assert.equal(open({ command: [] }), null);
    assert.equal(open({ command: [""] }), null);
    assert.equal(open({ command: Array(300).fill("x") }), null);
    assert.equal(open({ tty: { columns: 0, rows: 24, term: "xterm" } }), null);
    assert.equal(open({ tty: { columns: 80, rows: 24, term: "x; rm" } }), null);
    assert.equal(parseSaid(words({ t: "taken", bytes: -1 })), null);
  });
});

describe("quoted()", () => {
  it("quoted() is one word for a shell, whatever it holds", () => {
    assert.equal(quoted("a b"), "'a b'");
    assert.equal(quoted("it's $HOME"), "'it'\\''s $HOME'");
  });
});
