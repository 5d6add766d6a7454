/** Scratch space of plain processes: what a function asks for by `disk` it has, and no more. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { FunctionSpec } from "../../sdk/protocol.ts";
import { withoutPython } from "../setup/machine.ts";
import { TestRunner, tsFunction } from "../setup/runner.ts";
import { until } from "../setup/until.ts";

const DISK_MIB = 20;
/** Well within what it may have, and beyond it. */
const [FITS, EXCEEDS] = [10, 30];

async function setup(source: string, spec: Partial<FunctionSpec> = {}) {
  const runner = await TestRunner.start({ poolSize: 1 });
  runner.api.want(await runner.assign(source, { disk: DISK_MIB, ...spec }));
  const call = async (input: number) => {
    const batch = runner.api.call("fn", [input]);
    return (await until("the call has ended", () => runner.api.endOf(batch, 0) ?? null)).value;
  };
  return { runner, call };
}

const EXCEEDED = { kind: "user_error", message: /^It used [3-9]\d MiB of disk and may use 20 MiB$/ };

describe("the scratch space of a plain process", () => {
  it("is where temporary files of TypeScript go, without a permission, and bounded", async () => {
    const source = tsFunction(`async (mib) => {
      const path = Deno.makeTempFileSync();
      Deno.writeFileSync(path, new Uint8Array(mib * 1024 * 1024).fill(1));
      if (mib > ${DISK_MIB}) await new Promise((resolve) => setTimeout(resolve, 60_000));
      return [Deno.env.get("TMPDIR") === path.slice(0, path.lastIndexOf("/")), Deno.statSync(path).size];
    }`);
    const { runner, call } = await setup(source);
    await using _ = runner;
    assert.deepEqual(await call(FITS), [true, FITS * 1024 * 1024]);
    const { kind, message } = await call(EXCEEDS) as { kind: string; message: string };
    assert.equal(kind, EXCEEDED.kind);
    assert.match(message, EXCEEDED.message);
  });

  it("is the temporary and the working folder of Python", { skip: withoutPython }, async () => {
    const source = `import os, tempfile, time
def fn(mib):
  for folder in [tempfile.gettempdir(), "."]:
    with open(os.path.join(folder, "x"), "wb") as file: file.write(bytes([1]) * (mib << 19))
  time.sleep(60 if mib > ${DISK_MIB} else 0)
  return tempfile.gettempdir() == os.path.join(os.environ["BERTH_SLOT"], "tmp")
`;
    const { runner, call } = await setup(source, { body: "python" });
    await using _ = runner;
    assert.equal(await call(FITS), true);
    assert.match((await call(EXCEEDS) as { message: string }).message, EXCEEDED.message);
  });

  it("bounds what a server writes", { skip: withoutPython }, async () => {
    const { runner } = await setup("", {
      body: "server",
      methods: [{ name: "fn", kind: "endpoint", endpoint: { name: "fn" } }] as FunctionSpec["methods"],
      server: {
        command: [
          "python3",
          "-c",
          `import http.server, os
with open(os.path.join(os.environ["TMPDIR"], "x"), "wb") as file: file.write(bytes([1]) * (${EXCEEDS} << 20))
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()`,
        ],
      } as FunctionSpec["server"],
    });
    await using _ = runner;
    const { kind, message } = await until("it ended", () => runner.api.observed.get("ctr_1")?.exit ?? null);
    assert.equal(kind, EXCEEDED.kind);
    assert.match(message, EXCEEDED.message);
  });

  it("is no folder where a function does not ask for it", async () => {
    const source = tsFunction(`() => {
      try { return Deno.makeTempFileSync(); } catch (error) { return error.name; }
    }`);
    const { runner, call } = await setup(source, { disk: 0 });
    await using _ = runner;
    assert.equal(await call(0), "NotCapable");
  });
});
