/** readProfile(): which platform and which key, from environment and file. Each case is a process with an environment of its own. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";

const CONFIG = new URL("../../sdk/config.ts", import.meta.url).href;
const PROGRAM = `import { readProfile } from "${CONFIG}";
try { console.log(JSON.stringify(readProfile())); } catch (error) { console.log(JSON.stringify({ code: error.code, message: error.message })); }`;

/** What a program finds whose home has this profile file. */
async function found(env: Record<string, string>, profile?: string) {
  const home = await Deno.makeTempDir({ prefix: "berth-home-" });
  try {
    if (profile !== undefined) {
      await Deno.mkdir(`${home}/.config/berth`, { recursive: true });
      await Deno.writeTextFile(`${home}/.config/berth/profile.json`, profile);
    }
    await Deno.writeTextFile(`${home}/program.ts`, PROGRAM);
    const args = [
      "run",
      "--quiet",
      "--no-config",
      "--allow-env",
      `--allow-read=${home}`,
      `${home}/program.ts`,
    ];
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args,
      env: { ...env, HOME: home },
      clearEnv: true,
    }).output();
    return JSON.parse(new TextDecoder().decode(stdout));
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

const FILE = JSON.stringify({ url: "http://127.0.0.1:4000", key: "berth_file" });

describe("readProfile()", () => {
  it("takes the environment before the file", async () => {
    const env = { BERTH_URL: "http://other", BERTH_KEY: "berth_env" };
    assert.deepEqual(await found(env, FILE), { url: "http://other", key: "berth_env" });
  });

  it("takes the profile that the last berth up wrote", async () => {
    assert.deepEqual(await found({}, FILE), { url: "http://127.0.0.1:4000", key: "berth_file" });
    assert.deepEqual(await found({ BERTH_KEY: "berth_env" }, FILE), {
      url: "http://127.0.0.1:4000",
      key: "berth_env",
    });
  });

  it("never gives the file's key to another platform", async () => {
    const { code } = await found({ BERTH_URL: "http://other" }, FILE);
    assert.equal(code, "unauthorized");
  });

  it("says what to do when there is nothing, and which file is unreadable", async () => {
    assert.match((await found({})).message, /start one with `berth up`, or set BERTH_URL and BERTH_KEY/);
    assert.match((await found({}, "{broken")).message, /Cannot read .*profile\.json/);
  });
});
