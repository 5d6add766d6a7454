import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { DeliveredSecret } from "../../sdk/protocol.ts";
import { ociRunner, onEveryEngine, value, type World } from "../setup/oci_world.ts";
import { tsFunction } from "../setup/runner.ts";
import { untilTrue } from "../setup/until.ts";

const SECRETS: DeliveredSecret[] = [
  { name: "hf", as: "env", values: { HF_TOKEN: "hf_0123456789" } },
  { name: "db", as: "files", path: "/run/secrets", values: { PASSWORD: "correct horse", USER: "ann" } },
  { name: "more", as: "files", path: "/run/secrets", values: { USER: "bob" } },
  { name: "plain", as: "files", values: { CERT: "certificate" } },
];
const secrets = SECRETS.map(({ values: _, ...ref }) => ref);

async function runnerWithSecrets(world: World) {
  const runner = await ociRunner(world);
  runner.api.secrets = SECRETS;
  return runner;
}

/** What both languages are to see: the variable, each file by its path, the modes of a file and of its folder, and their owner. */
const SEEN = [
  "hf_0123456789",
  ["/run/secrets/PASSWORD", "correct horse"],
  ["/run/secrets/USER", "bob"],
  ["/berth/secrets/plain/CERT", "certificate"],
  [0o400, 0o700, 65_534],
];

onEveryEngine("the secrets of a function", (world) => {
  it("are variables and files that only its user can read, and gone with it, in TypeScript", async () => {
    await using runner = await runnerWithSecrets(await world());
    const source = tsFunction(`(_, ctx) => {
      const file = (key) => [ctx.secretFile(key), Deno.readTextFileSync(ctx.secretFile(key))];
      const { mode, uid } = Deno.statSync("/run/secrets/USER");
      const folder = Deno.statSync("/run/secrets").mode & 0o777;
      return [Deno.env.get("HF_TOKEN"), file("PASSWORD"), file("USER"), file("CERT"), [mode & 0o777, folder, uid]];
    }`);
    runner.api.want(await runner.assign(source, { secrets }));
    const slots = () => [...Deno.readDirSync(`${runner.dir}/slots`)].map(({ name }) => name);
    await untilTrue("it is made", () => slots().length === 1);
    const [slot] = slots();
    assert.deepEqual(await value(runner, null), SEEN);
    runner.api.want();
    await untilTrue("its folder is gone", () => !slots().includes(slot!));
  });

  it("are the same in Python, and cannot be written to", async () => {
    await using runner = await runnerWithSecrets(await world());
    const source = `import os
def fn(_, ctx):
  def file(key):
    path = ctx.secret_file(key)
    return [path, open(path).read()]
  try:
    os.remove("/run/secrets/USER")
  except OSError:
    pass
  stat = os.stat("/run/secrets/USER")
  modes = [stat.st_mode & 0o777, os.stat("/run/secrets").st_mode & 0o777, stat.st_uid]
  return [os.environ["HF_TOKEN"], file("PASSWORD"), file("USER"), file("CERT"), modes]
`;
    runner.api.want(await runner.assign(source, { body: "python", secrets }));
    assert.deepEqual(await value(runner, null), SEEN);
  });
});
