import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { parseAddress } from "../../sdk/container_address.ts";
import type { Channel } from "../../runner/engine.ts";
import { filledIn } from "../../runner/engines/filled_in.ts";
import { ailment, statusOf } from "../../runner/health.ts";
import { Interpreter } from "../../runner/interpreter.ts";
import { ServerSpec } from "../../sdk/protocol.ts";
import { ManualClock, settle } from "../setup/manual_clock.ts";

/** A connection that answers with this text, or never. */
const answering = (text: string | null): Channel => {
  let said = false;
  return {
    read: (into) => {
      if (text === null) return new Promise(() => {});
      if (said) return Promise.resolve(null);
      said = true;
      return Promise.resolve(new TextEncoder().encodeInto(text, into).written);
    },
    write: (bytes) => Promise.resolve(bytes.length),
    close: () => {},
  };
};
const refused = () => Promise.reject(new Error("refused"));
const HEALTH = ServerSpec.parse({ command: ["serve"], health: { path: "/health" } }).health;

describe("filledIn()", () => {
  it("filledIn() puts the place in, whole or inside an argument, and leaves other text alone", () => {
    const env = { PORT: "4711" };
    const command = [
      "serve",
      "--port=$PORT",
      "$PORT",
      "${PORT}x",
      "$PORTAL",
      "$HOME",
      "$$PORT",
      "$BERTH_SOCKET",
    ];
    assert.deepEqual(filledIn(command, env), [
      "serve",
      "--port=4711",
      "4711",
      "4711x",
      "$PORTAL",
      "$HOME",
      "$4711",
      "$BERTH_SOCKET",
    ]);
  });
});

describe("parseAddress()", () => {
  it("parseAddress() tells sockets and ports apart", () => {
    assert.deepEqual(parseAddress("/a/http.sock"), { transport: "unix", path: "/a/http.sock" });
    assert.deepEqual(parseAddress("127.0.0.1:80"), { transport: "tcp", hostname: "127.0.0.1", port: 80 });
  });
});

describe("statusOf()", () => {
  it("statusOf() reads a status line and nothing else", () => {
    assert.equal(statusOf("HTTP/1.1 204 No Content\r"), 204);
    assert.equal(statusOf("HTTP/1.0 503"), 503);
    for (const line of ["", "SSH-2.0-OpenSSH", "HTTP/1.1 2000", "HTTP/2 200"]) {
      assert.equal(statusOf(line), null);
    }
  });
});

describe("ailment()", () => {
  const ask = (
    dial: () => Promise<Channel>,
    health: typeof HEALTH | null = HEALTH,
    clock = new ManualClock(),
  ) => ailment({ dial, place: "port 1", health: health ?? undefined }, clock);

  it("ailment() is nothing for 2xx, and for any connection where no health is asked", async () => {
    assert.equal(await ask(() => Promise.resolve(answering("HTTP/1.1 200 OK\r\n"))), null);
    assert.equal(await ask(() => Promise.resolve(answering(null)), null), null);
  });

  it("ailment() says what is wrong in a clause", async () => {
    assert.equal(await ask(refused), "nothing listens on port 1");
    const said = (text: string) => ask(() => Promise.resolve(answering(text)));
    assert.equal(await said("HTTP/1.1 503 Busy\r\n"), "GET /health answered 503");
    assert.equal(await said("hello\n"), "GET /health did not answer in HTTP/1.1");
    const clock = new ManualClock();
    const late = ask(() => Promise.resolve(answering(null)), HEALTH, clock);
    await settle();
    await clock.advance(5_000);
    assert.equal(await late, "GET /health did not answer within 5s");
  });
});

describe("Interpreter", () => {
  function setup(options = {}) {
    const clock = new ManualClock();
    const exited = Promise.withResolvers<void>();
    const world = {
      dials: 0,
      terminated: 0,
      dial: refused as () => Promise<Channel>,
      connections: null as number | null,
    };
    const interpreter = new Interpreter({
      program: {
        pid: 7,
        place: "port 1",
        exited: exited.promise,
        dial: () => (world.dials++, world.dial()),
        connections: () => world.connections,
        terminate: () => void world.terminated++,
      },
      server: ServerSpec.parse({ command: ["serve"], ...options }),
      clock,
    });
    const hear = (t: string) => interpreter.write(new TextEncoder().encode(`${JSON.stringify({ t })}\n`));
    /** The next frame it says; null when it has hung up. */
    const next = async () => {
      const buffer = new Uint8Array(1_024);
      const n = await interpreter.read(buffer);
      return n === null ? null : JSON.parse(new TextDecoder().decode(buffer.subarray(0, n)));
    };
    return { world, clock, exited, interpreter, hear, next };
  }

  it("Interpreter tries less and less often while nobody listens, and at once when it prints", async () => {
    const { world, clock, interpreter, hear, next } = setup();
    assert.deepEqual(await next(), { t: "hello", protocol: 1, pid: 7 });
    await hear("load");
    await settle();
    await clock.advance(10_000);
    assert.ok(world.dials > 40 && world.dials < 60, `${world.dials} tries in 10 s`);
    world.dial = () => Promise.resolve(answering(null));
    const printed = interpreter.listen(ReadableStream.from([new Uint8Array([1])]));
    assert.equal((await Array.fromAsync(printed)).length, 1);
    assert.deepEqual(await next(), { t: "ready" });
  });

  it("Interpreter counts failures in a row, and says so once", async () => {
    const { world, clock, hear, next } = setup({ health: { path: "/health", interval: "1s", failures: 2 } });
    world.dial = () => Promise.resolve(answering("HTTP/1.1 200 OK\r\n"));
    await next();
    await hear("load");
    assert.deepEqual(await next(), { t: "ready" });
    const pass = async (dial: () => Promise<Channel>) => {
      world.dial = dial;
      await clock.advance(1_000);
      await settle();
    };
    const well = () => Promise.resolve(answering("HTTP/1.1 200 OK\r\n"));
    await pass(refused);
    await pass(well);
    await pass(refused);
    await pass(refused);
    const message = "The server failed its health check 2 times in a row: nothing listens on port 1";
    assert.deepEqual(await next(), { t: "broken", message });
  });

  it("Interpreter asks the program to end once, and hangs up when it has", async () => {
    const { world, exited, hear, next } = setup();
    await next();
    await hear("drain");
    await hear("drain");
    assert.equal(world.terminated, 1);
    exited.resolve();
    assert.equal(await next(), null);
  });

  it("Interpreter asks it when its connections are closed, and no more can come", async () => {
    const { world, clock, hear } = setup();
    world.connections = 2;
    await hear("drain");
    await clock.advance(10_000);
    world.connections = 0;
    await clock.advance(1_000);
    world.connections = 1; // of a gateway that had not heard
    await clock.advance(1_000);
    assert.equal(world.terminated, 0);
    world.connections = 0;
    await clock.advance(1_300);
    assert.equal(world.terminated, 1);
  });

  it("Interpreter asks it when its time is over, or it is told to hurry, whatever is open", async () => {
    const one = setup({ drain: "5s" });
    const two = setup();
    for (const { world, hear } of [one, two]) {
      world.connections = 1;
      await hear("drain");
    }
    await one.clock.advance(4_900);
    assert.equal(one.world.terminated, 0);
    await one.clock.advance(200);
    assert.equal(one.world.terminated, 1);
    two.interpreter.terminate();
    await two.clock.advance(60_000);
    assert.equal(two.world.terminated, 1);
  });
});
