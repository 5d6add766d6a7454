/** Guests whose host goes away and comes back: what runs goes on, and what it has to say is said to the host that comes. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { denoGuest, Host, type Kind, pythonGuest } from "../setup/guest_host.ts";
import { withoutPython } from "../setup/machine.ts";

const METHODS = { train: { member: null, kind: "call", stream: false } } as const;
const PIECE = 1024 * 1024;
const RESUME_MS = 20_000;

interface Guest {
  readonly command: (slot: string) => Deno.Command;
  readonly file: string;
  readonly entry: string;
  /** What it does is its input. */
  readonly code: string;
}

const GUESTS: Record<string, Guest> = {
  "guest.ts": {
    command: denoGuest,
    file: "app.js",
    entry: "train",
    code: `
import { App } from "berth";
const app = new App("digits");
const print = (text) => Deno.stdout.writeSync(new TextEncoder().encode(text + "\\n"));
export const train = app.function({}, async (what, ctx) => {
  if (what === "load") return (await ctx.checkpoint.load({ name: "go" })).length;
  if (what === "save") await ctx.checkpoint.save(new Uint8Array(3_000_000).fill(7));
  if (what === "publish") return (await ctx.artifact("model", new Uint8Array(3 * ${PIECE}).fill(8))).version;
  if (what === "alone") {
    print("begun");
    await new Promise((resolve) => setTimeout(resolve, 300));
    ctx.report({ told: "late" });
    print("over");
  }
  return what;
});
`,
  },
  "guest.py": {
    command: pythonGuest,
    file: "app.py",
    entry: "app.py:train",
    code: `
import time
def train(what, ctx):
  if what == "load": return len(ctx.checkpoint.load("go"))
  if what == "save": ctx.checkpoint.save(bytes([7]) * 3_000_000)
  if what == "publish": return ctx.artifact("model", bytes([8]) * ${PIECE} * 3)["version"]
  if what == "alone":
    print("begun", flush=True)
    time.sleep(0.3)
    print("over", flush=True)
    ctx.report({"told": "late"})
  return what
`,
  },
};

async function ready({ command, file, entry, code }: Guest, resumeMs = RESUME_MS): Promise<Host> {
  const host = await Host.start(command, { [file]: code });
  const path = file.endsWith(".py") ? host.slot : `${host.slot}/${file}`;
  const answer = await host.load({ path, entry, methods: METHODS, resumeMs });
  assert.equal(answer.t, "ready", JSON.stringify(answer));
  return host;
}

for (const [name, guest] of Object.entries(GUESTS)) {
  describe(`${name} whose host comes back`, { skip: guest.command === pythonGuest && withoutPython }, () => {
    it("says what runs, asks again, and never begins what had not begun", async () => {
      await using host = await ready(guest);
      host.call(1, "load", { attempt: 3 });
      host.call(2, "never");
      const { n } = await host.next("checkpoint-load");
      await host.hangUp();
      const { resumes } = await host.comeBack();
      assert.deepEqual(resumes, { next: 3, running: [{ c: 1, id: "call_0000000001_1", attempt: 3 }] });
      const again = await host.next("checkpoint-load");
      assert.ok(again.n >= n);
      host.send({ t: "reply", n: again.n, ok: true }, new Uint8Array(5));
      assert.equal(await host.value(1), 5);
      host.call(3, "next");
      assert.equal(await host.value(3), "next");
      assert.deepEqual(host.all("result").map(({ c }) => c), [1, 3]);
    });

    it("tells how a call ended that ended meanwhile", async () => {
      await using host = await ready(guest);
      host.call(1, "alone");
      await host.printed("begun");
      await host.hangUp();
      await host.printed("over");
      const { resumes } = await host.comeBack();
      assert.deepEqual(resumes?.running.map(({ c }) => c), [1]);
      assert.equal(await host.value(1), "alone");
      assert.deepEqual(host.all("event").map(({ data }) => data), [{ told: "late" }]);
    });

    it("saves a checkpoint whole that was on its way", async () => {
      await using host = await ready(guest);
      host.call(1, "save");
      await host.next("checkpoint-save");
      await host.hangUp();
      await host.comeBack();
      const { frame, body } = await host.seen(({ frame }) => frame.t === "checkpoint-save");
      assert.deepEqual([body?.length, body?.every((byte) => byte === 7)], [3_000_000, true]);
      host.send({ t: "reply", n: (frame as Kind<"checkpoint-save">).n, ok: true });
      assert.equal(await host.value(1), "save");
    });

    it("publishes an artifact from its beginning", async () => {
      await using host = await ready(guest);
      host.call(1, "publish");
      await host.next("artifact-save");
      await host.hangUp();
      await host.comeBack();
      const { frame } = await host.seen(({ frame }) => frame.t === "artifact-save" && frame.bytes === 0);
      const { n } = frame as Kind<"artifact-save">;
      const pieces = host.all("artifact-save").filter((piece) => piece.n === n);
      assert.deepEqual(pieces.map(({ at, bytes }) => [at, bytes]), [
        [0, PIECE],
        [PIECE, PIECE],
        [2 * PIECE, PIECE],
        [3 * PIECE, 0],
      ]);
      const made = { name: "model", version: 4, digest: "", size: 3 * PIECE };
      host.send({ t: "reply", n, ok: true }, new TextEncoder().encode(JSON.stringify(made)));
      assert.equal(await host.value(1), 4);
    });

    it("may lose it again, and ends when it stays away", async () => {
      await using host = await ready(guest, 1_000);
      await host.hangUp();
      await host.comeBack();
      host.call(1, "once");
      assert.equal(await host.value(1), "once");
      await host.hangUp();
      assert.equal((await host.output()).code, 0);
    });
  });
}
