/** Artifacts between guests and the platform: published in pieces, loaded as they come, by real guests of a real runner. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { join } from "node:path";
import { type PieceFrame, type Uploaded, Uploads } from "../../runner/uploads.ts";
import { LIMITS } from "../../sdk/protocol.ts";
import { withoutPython } from "../setup/machine.ts";
import { TestRunner, tsFunction } from "../setup/runner.ts";
import { until, untilTrue } from "../setup/until.ts";

const MANY = 3 * LIMITS.artifactPieceBytes + 5;

/** A runner with one container of this function, and a way to call it: its result, or the message of its failure. */
async function setup(source: string, spec: Parameters<TestRunner["assign"]>[1] = {}) {
  const runner = await TestRunner.start();
  runner.api.want(await runner.assign(source, spec));
  const call = async (input: unknown = null): Promise<unknown> => {
    const batch = runner.api.call("fn", [input as null]);
    const { outcome, value } = await until("the call has ended", () => runner.api.endOf(batch, 0) ?? null);
    return outcome === 0 ? value : (value as { message: string }).message;
  };
  /** Answers requests for an artifact as the platform would; `piece` bytes come at a time, then the answer breaks off. */
  const serve = async (
    bytes: Uint8Array<ArrayBuffer>,
    { piece = Infinity, sent = bytes }: { piece?: number; sent?: Uint8Array<ArrayBuffer> } = {},
  ) => {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
    const ranges: (string | null)[] = [];
    runner.api.answer = (path, request) => {
      if (path === "/v1/artifacts/model%40production") {
        return Response.json({ name: "model", version: 3, digest, size: bytes.length });
      }
      if (path !== "/v1/artifacts/model%403/content") {
        return Response.json({ error: { code: "not_found", message: `No ${path}`, requestId: "r" } }, {
          status: 404,
        });
      }
      const range = request.headers.get("range");
      ranges.push(range);
      const from = Number(range?.match(/^bytes=(\d+)-$/)?.[1] ?? 0);
      const body = brokenAfter(sent.subarray(from), piece);
      return new Response(body, { status: range === null ? 200 : 206 });
    };
    return ranges;
  };
  return { runner, call, serve };
}

/** Brings so many bytes, and breaks off if there are more. */
function brokenAfter(bytes: Uint8Array<ArrayBuffer>, most: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  let brought = false;
  return new ReadableStream({
    pull(controller) {
      if (!brought) controller.enqueue(bytes.subarray(0, most));
      else if (bytes.length > most) controller.error(new Error("broken off"));
      else controller.close();
      brought = true;
    },
  });
}

const file = async (bytes: Uint8Array): Promise<string> => {
  const path = await Deno.makeTempFile({ prefix: "berth-artifact-" });
  await Deno.writeFile(path, bytes);
  return path;
};
const counting = (size: number) => new Uint8Array(size).map((_, i) => i % 251);

describe("ctx.artifact of guest.ts", () => {
  it("publishes bytes of any size, several at once, and answers what they became", async () => {
    const { runner, call } = await setup(tsFunction(`async (sizes, ctx) => {
      const made = await Promise.all(sizes.map((size) => ctx.artifact("model_" + size, new Uint8Array(size).map((_, i) => i % 251))));
      ctx.log("all are there");
      return made.map(({ name, version, size, digest }) => [name, version, size, digest.length]);
    }`));
    await using _ = runner;
    assert.deepEqual(await call([0, 7, MANY]), [["model_0", 1, 0, 64], ["model_7", 1, 7, 64], [
      `model_${MANY}`,
      1,
      MANY,
      64,
    ]]);
    assert.deepEqual(runner.api.artifacts.get(`model_${MANY}`), [counting(MANY)]);
    assert.deepEqual(runner.api.artifacts.get("model_0"), [new Uint8Array(0)]);
  });

  it("publishes a file that the function may read, and no other", async () => {
    const path = await file(counting(MANY));
    const { runner, call } = await setup(
      tsFunction(`(path, ctx) => ctx.artifact("model", path).then((one) => one.size)`),
      {
        permissions: { read: [path] },
      },
    );
    await using _ = runner;
    assert.equal(await call(path), MANY);
    assert.deepEqual(runner.api.artifacts.get("model"), [counting(MANY)]);
    assert.match(String(await call("/etc/passwd")), /read access/);
    await Deno.remove(path);
  });

  it("loads by reference, and says when there is none", async () => {
    const { runner, call, serve } = await setup(tsFunction(`async (ref, ctx) => {
      const bytes = await ctx.artifact(ref);
      return [bytes.length, bytes.every((byte, i) => byte === i % 251)];
    }`));
    await using _ = runner;
    await serve(counting(MANY));
    assert.deepEqual(await call("model@production"), [MANY, true]);
    assert.match(String(await call("none")), /No \/v1\/artifacts\/none/);
  });

  it("asks for the rest when an answer breaks off, and takes no bytes but its own", async () => {
    const { runner, call, serve } = await setup(tsFunction(`async (ref, ctx) => {
      const bytes = await ctx.artifact(ref);
      return [bytes.length, bytes.every((byte, i) => byte === i % 251)];
    }`));
    await using _ = runner;
    const ranges = await serve(counting(MANY), { piece: 2_000_000 });
    assert.deepEqual(await call("model@production"), [MANY, true]);
    assert.match(ranges.join(), /^,bytes=[1-9]\d+-$/);
    await serve(counting(100), { sent: new Uint8Array(100) });
    assert.match(String(await call("model@production")), /the SHA-256 of what came is/);
  });

  it("waits for a platform that is away", async () => {
    const { runner, call } = await setup(
      tsFunction(`(n, ctx) => ctx.artifact("model", new Uint8Array(9)).then((one) => one.version)`),
    );
    await using _ = runner;
    const first = await call();
    const away = runner.api.call("fn", [null]);
    runner.api.away = true;
    await untilTrue("it was asked", () => runner.api.turnedAway > 2);
    runner.api.away = false;
    const { value } = await until("the call has ended", () => runner.api.endOf(away, 0) ?? null);
    assert.deepEqual([first, value], [1, 2]);
  });

  it("refuses what is neither bytes nor a path", async () => {
    const { runner, call } = await setup(tsFunction(`(n, ctx) => ctx.artifact("model", { weights: 1 })`));
    await using _ = runner;
    assert.match(String(await call()), /expected a Uint8Array or the path of a file/);
  });
});

describe("ctx.artifact of guest.py", { skip: withoutPython }, () => {
  const python = (body: string) =>
    setup(`import os\ndef fn(input, ctx):\n${body.split("\n").map((line) => `    ${line}`).join("\n")}\n`, {
      body: "python",
    });

  it("publishes bytes and files, and answers what they became", async () => {
    const path = await file(counting(MANY));
    const { runner, call } = await python(
      `made = [ctx.artifact("model", input), ctx.artifact("data", b"abc"), ctx.artifact("none", b"")]\nreturn [[m["name"], m["version"], m["size"]] for m in made]`,
    );
    await using _ = runner;
    assert.deepEqual(await call(path), [["model", 1, MANY], ["data", 1, 3], ["none", 1, 0]]);
    assert.deepEqual(runner.api.artifacts.get("model"), [counting(MANY)]);
    await Deno.remove(path);
  });

  it("loads bytes, or a file of the container's own", async () => {
    const { runner, call, serve } = await python(
      `data = ctx.artifact("model@production")\npath = ctx.artifact_file("model@production")\nwith open(path, "rb") as f:\n    return [len(data), f.read() == data, data[250], os.path.dirname(path) == os.environ["BERTH_SLOT"]]`,
    );
    await using _ = runner;
    await serve(counting(MANY));
    assert.deepEqual(await call(), [MANY, true, 250, true]);
    const ranges = await serve(counting(MANY), { piece: 2_000_000 });
    assert.deepEqual(await call(), [MANY, true, 250, true]);
    assert.match(ranges.join(), /^(,bytes=[1-9]\d+-,?){2}$/);
    await serve(counting(300), { sent: new Uint8Array(300) });
    assert.match(String(await call()), /its SHA-256 is/);
  });

  it("says what there is not", async () => {
    const { runner, call, serve } = await python(`return ctx.artifact("model@canary")`);
    await using _ = runner;
    await serve(counting(1));
    assert.match(String(await call()), /No \/v1\/artifacts\/model%40canary/);
  });

  it("cuts into pieces as large as may be", async () => {
    const path = new URL("../../runner/guests/berth_guest/artifacts.py", import.meta.url);
    const [, product] = /^ARTIFACT_PIECE_BYTES = (.+)$/m.exec(await Deno.readTextFile(path))!;
    assert.equal(product!.split(" * ").map(Number).reduce((a, b) => a * b), LIMITS.artifactPieceBytes);
  });
});

describe("Uploads", () => {
  const BY = { lease: 1, index: 0 };

  async function uploads() {
    const folder = await Deno.makeTempDir({ prefix: "berth-uploads-" });
    const refused: string[] = [];
    const whole: Uploaded[] = [];
    let files = 0;
    const made = new Uploads({
      newFile: () => join(folder, String(files++)),
      refuse: (n, message) => {
        refused.push(`${n}: ${message}`);
        return { piece: () => {}, end: () => {} };
      },
      whole: (_, upload) => void whole.push(upload),
    });
    const say = (n: number, at: number, text: string, by: typeof BY | null = BY) => {
      const body = new TextEncoder().encode(text);
      const frame: PieceFrame = { t: "artifact-save", n, c: 1, name: "model", at, bytes: body.length };
      const sink = made.piece(frame, by);
      if (body.length > 0) sink.piece(body);
      sink.end();
    };
    const left = () => Array.from(Deno.readDirSync(folder)).length;
    return { made, say, refused, whole, left, folder };
  }

  it("gathers pieces that come between each other, each in its own file", async () => {
    const { say, whole, folder } = await uploads();
    say(1, 0, "he");
    say(2, 0, "wor");
    say(1, 2, "llo");
    say(2, 3, "ld");
    say(2, 5, "");
    say(1, 5, "");
    assert.deepEqual(whole.map(({ path }) => Deno.readTextFileSync(path)), ["world", "hello"]);
    assert.equal(whole[1]!.digest, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    await Deno.remove(folder, { recursive: true });
  });

  it("gives up what skips or repeats bytes, drops what follows, and keeps nothing of it", async () => {
    const { made, say, refused, whole, left, folder } = await uploads();
    say(1, 0, "abc");
    say(1, 7, "x");
    say(1, 8, "y");
    say(1, 9, "");
    say(2, 0, "abc");
    say(2, 0, "abc");
    say(2, 3, "");
    say(3, 0, "abc", null);
    say(3, 3, "");
    assert.deepEqual(refused, [
      "1: its pieces must follow each other, byte 7 does not",
      "2: its pieces must follow each other, byte 0 does not",
      "3: the call has ended",
    ]);
    assert.deepEqual([whole, left()], [[], 0]);
    for (let n = 10; n < 27; n++) say(n, 0, "x");
    assert.equal(refused.at(-1), "26: 16 others are under way");
    made.close();
    await Deno.remove(folder, { recursive: true });
  });
});
