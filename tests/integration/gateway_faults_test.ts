import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Dial, Socket } from "../../api/gateway/connection.ts";
import { dialContainer } from "../../api/gateway/dial.ts";
import { GatewayWorld, readRequest, write } from "../setup/gateway_world.ts";
import { untilTrue } from "../setup/until.ts";

const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

const errorOf = async (response: Response) => {
  const { error } = await response.json();
  return { status: response.status, code: error.code as string, message: error.message as string };
};

const idle = (made: GatewayWorld) => untilTrue("no slot is taken", () => made.gateway.stats().inFlight === 0);

/** A gateway whose containers talk bytes; `asked` counts the requests they got. */
async function world(...talks: ((connection: Deno.Conn) => Promise<unknown>)[]) {
  const made = await GatewayWorld.start({ function: { timeoutMs: 300 } });
  const asked = { count: 0 };
  made.publish(talks.map((talk) =>
    made.listen(async (connection) => {
      await readRequest(connection);
      asked.count++;
      await talk(connection);
    })
  ));
  await made.gateway.refresh();
  return Object.assign(made, { asked });
}

const dies = () => Promise.resolve();
const answers = (text: string) => (connection: Deno.Conn) => write(connection, text);

describe("Gateway and a container that dies", () => {
  it("Gateway asks once more when a container dies before it answers, if that does no harm", async () => {
    await using made = await world(dies);
    const { status, code, message } = await errorOf(await made.fetch("/e/demo/web"));
    assert.deepEqual([status, code, made.asked.count], [502, "bad_gateway", 2]);
    assert.match(message, /its container ended before it answered/);

    made.asked.count = 0;
    await errorOf(await made.fetch("/e/demo/web", { method: "POST" }));
    assert.equal(made.asked.count, 1);
    await errorOf(await made.fetch("/e/demo/web", { method: "PUT", body: "x" }));
    assert.equal(made.asked.count, 2);
    await idle(made);
  });

  it("Gateway gets the answer of the second try", async () => {
    let first = true;
    await using made = await world(async (connection) => {
      if (!first) await write(connection, OK);
      first = false;
    });
    assert.equal(await (await made.fetch("/e/demo/web")).text(), "ok");
    assert.equal(made.asked.count, 2);
  });

  it("Gateway goes to another container when nobody listens at the first, whatever the method", async () => {
    await using made = await GatewayWorld.start();
    const alive = made.serve(async (request) => new Response(await request.text()));
    made.publish([made.name(), made.name(), made.name(), alive]);
    await made.gateway.refresh();
    for (let i = 0; i < 20; i++) {
      const response = await made.fetch("/e/demo/web", { method: "POST", body: `n${i}` });
      assert.equal(await response.text(), `n${i}`);
    }
  });

  it("Gateway holds a request while the only container is gone, until there is another", async () => {
    await using made = await GatewayWorld.start();
    made.publish([made.name()]);
    await made.gateway.refresh();
    const waiting = made.fetch("/e/demo/web");
    await untilTrue("it is held", () => made.gateway.stats().held === 1);
    made.publish([made.serve(() => new Response("ok"))]);
    assert.equal(await (await waiting).text(), "ok");
  });

  it("Gateway breaks the response off when the container dies within it", async () => {
    for (
      const part of [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
      ]
    ) {
      await using made = await world(answers(part));
      using client = await made.raw("GET /e/demo/web HTTP/1.1\r\nhost: h\r\n\r\n");
      await client.until("half");
      const all = await client.rest().catch(() => "reset");
      assert.ok(!all.endsWith("0\r\n\r\n"), "the client must see that the response is not whole");
      await idle(made);
    }
  });

  it("Gateway takes a new connection when the container has closed the one that rested", async () => {
    await using made = await world(answers(OK));
    for (let i = 0; i < 5; i++) {
      const response = await made.fetch("/e/demo/web", { method: "POST", body: "x" });
      assert.equal(await response.text(), "ok");
    }
  });
});

describe("Gateway and a container that does not speak HTTP", () => {
  it("Gateway answers 502 to what is no response, and asks nobody else", async () => {
    const nonsense = [
      "SSH-2.0-x\r\n\r\n",
      "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
      "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok",
      "HTTP/1.1 200 OK\r\nx: 1\n y: 2\r\n\r\n",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
      "HTTP/1.1 101 Switching Protocols\r\n\r\n",
      "HTTP/1.1 200 OK\r\ncontent-",
      `HTTP/1.1 200 OK\r\nx: ${"y".repeat(100_000)}`,
    ];
    for (const text of nonsense) {
      await using made = await world(answers(text));
      const { status, message } = await errorOf(await made.fetch("/e/demo/web"));
      assert.equal(status, 502, text.slice(0, 80));
      assert.match(message, /not HTTP/);
      assert.equal(made.asked.count, 1);
      await idle(made);
    }
  });

  it("Gateway gives no client what a container sent beyond a response", async () => {
    const smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen";
    await using made = await world(async (connection) => {
      await write(connection, OK + smuggled);
      await readRequest(connection).then(() => write(connection, OK));
    });
    for (let i = 0; i < 5; i++) assert.equal(await (await made.fetch("/e/demo/web")).text(), "ok");

    await using later = await world(async (connection) => {
      await write(connection, OK);
      await write(connection, smuggled);
      await readRequest(connection).then(() => write(connection, OK));
    });
    for (let i = 0; i < 5; i++) assert.equal(await (await later.fetch("/e/demo/web")).text(), "ok");
  });

  it("Gateway skips interim responses, and reads until the end where no length is given", async () => {
    await using made = await world(
      answers(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.0 200 OK\r\n\r\nto the end",
      ),
    );
    assert.equal(await (await made.fetch("/e/demo/web")).text(), "to the end");
    await idle(made);
  });

  it("Gateway gives up on a container that says nothing within the function's timeout", async () => {
    await using made = await world((connection) => readRequest(connection));
    const { status, code, message } = await errorOf(await made.fetch("/e/demo/web"));
    assert.deepEqual([status, code], [504, "timeout"]);
    assert.match(message, /not begun within the timeout of 300ms/);
    await idle(made);
  });
});

describe("Gateway when the n-th read or write fails", () => {
  it("Gateway answers each request truly or with an error, and loses no slot, whichever I/O fails", async () => {
    const fault = new FailingIo();
    await using made = await GatewayWorld.start({ dial: fault.dial, function: { concurrency: 2 } });
    made.publish([made.serve(async (request) => new Response(`${request.method} ${await request.text()}`))]);
    await made.gateway.refresh();
    let failures = 0;
    const ask = async (method: string, body: string | null) => {
      const response = await made.fetch("/e/demo/web", { method, body });
      if (response.status !== 200) return assert.equal((await errorOf(response)).code, "bad_gateway");
      const text = await response.text().catch(() => null);
      if (text === null) return;
      assert.equal(text, `${method} ${body ?? ""}`);
      return "whole";
    };
    const run = async () => {
      const requests = [["GET", null], ["POST", "hello"], ["GET", null], [
        "PUT",
        "x".repeat(20_000),
      ]] as const;
      for (const [method, body] of requests) if (await ask(method, body) !== "whole") failures++;
      await idle(made);
    };
    let n = 0;
    do fault.failAfter(n++); while (await run().then(() => fault.failed));
    assert.ok(n > 10, `only ${n} reads and writes were made to fail`);
    assert.ok(failures > 0 && failures < n, `${failures} requests failed in ${n} runs`);
  });
});

/** Sockets of which one read, write or connect fails. */
class FailingIo {
  failed = false;
  #left = Infinity;

  failAfter(operations: number): void {
    this.#left = operations;
    this.failed = false;
  }

  readonly dial: Dial = async (path) => {
    this.#count();
    const socket: Socket = await dialContainer(path);
    const counted = <A, R>(act: (arg: A) => Promise<R>) => async (arg: A): Promise<R> => {
      this.#count();
      return await act(arg);
    };
    return {
      read: counted((into) => socket.read(into)),
      write: counted((bytes) => socket.write(bytes)),
      close: () => socket.close(),
    };
  };

  #count(): void {
    if (this.#left-- !== 0) return;
    this.failed = true;
    throw new Deno.errors.ConnectionReset("injected");
  }
}
