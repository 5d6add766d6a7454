import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { PlatformError } from "../../sdk/errors.ts";
import { failed, ID, nobody, platform, refuse, succeeded } from "../setup/fake_platform.ts";
import { type Answer, berth } from "../setup/shell.ts";

describe("berth call", () => {
  it("prints the result, and how it ended on stderr", async () => {
    const { code, out, err } = await berth(
      ["call", "digits/train", "--input", '{"epochs": 3}'],
      platform(succeeded),
    );
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(out), { loss: 0.5 });
    assert.match(err, /digits\/train succeeded in 2\.5 s, attempt 1, 0\.5 GPU-seconds/);
  });

  it("sends input, options and an idempotency key", async () => {
    const args = [
      "call",
      "digits/Digits.classify",
      "-i",
      "[1]",
      "--priority",
      "9",
      "--ttl",
      "5m",
      "--tag",
      "a=b",
      "--tag",
      "c=d",
    ];
    const { asked } = await berth(args, platform(succeeded));
    assert.equal(asked[0]!.path, "/v1/apps/digits/functions/Digits.classify/calls");
    assert.deepEqual(JSON.parse(asked[0]!.body), {
      input: [1],
      priority: 9,
      ttl: "5m",
      tags: { a: "b", c: "d" },
    });
  });

  it("prints the finished call with --json, and nothing else on stdout", async () => {
    const { code, out } = await berth(["call", "digits/train", "--json", "--follow"], platform(succeeded));
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(out), succeeded);
  });

  it("exits with 1 when the call failed, and says why", async () => {
    const { code, out, err } = await berth(["call", "digits/train", "--json"], platform(failed));
    assert.equal(code, 1);
    assert.equal(JSON.parse(out).failure.kind, "user_error");
    assert.match(err, /user_error: too far\n {4}at app\.ts:3:9/);
  });

  it("shows logs, reports and progress with --follow", async () => {
    const { err } = await berth(["call", "digits/train", "--follow"], platform(succeeded));
    assert.match(err, /^hello$/m);
    assert.match(err, /^report step 1 {2}loss 0\.1235$/m);
    assert.match(err, /^progress 1\/4$/m);
  });

  it("prints only the id with --no-wait", async () => {
    const { code, out, asked } = await berth(["call", "digits/train", "--no-wait"], platform(succeeded));
    assert.deepEqual([code, out, asked.length], [0, `${ID}\n`, 1]);
  });

  it("reads its input from a file or from standard input", async () => {
    const file = await Deno.makeTempFile();
    await Deno.writeTextFile(file, '{"from": "file"}');
    const fromFile = await berth(["call", "a/b", "--input", `@${file}`], platform(succeeded));
    assert.deepEqual(JSON.parse(fromFile.asked[0]!.body).input, { from: "file" });
    const stdin = () => Promise.resolve("[7]");
    const fromStdin = await berth(["call", "a/b", "--input", "-"], platform(succeeded), { stdin });
    assert.deepEqual(JSON.parse(fromStdin.asked[0]!.body).input, [7]);
    await Deno.remove(file);
  });

  it("leaves the call to run when interrupted", async () => {
    const controller = new AbortController();
    const answer: Answer = (asked) => {
      if (asked.path.includes("/results")) controller.abort();
      return platform(succeeded)(asked);
    };
    const { code, err, asked } = await berth(["call", "a/b"], answer, {
      interrupted: () => controller.signal,
    });
    assert.equal(code, 130);
    assert.match(err, new RegExp(`berth cancel ${ID}`));
    assert.ok(!asked.some(({ path }) => path.endsWith("/cancel")));
  });
});

describe("the command line", () => {
  const usage = async (...args: string[]) => {
    const { code, err, asked } = await berth(args, nobody);
    assert.deepEqual([code, asked.length], [2, 0], err);
    return err;
  };

  it("refuses what makes no sense with exit code 2 and the next step", async () => {
    assert.match(await usage("deplyo"), /Did you mean deploy\?/);
    assert.match(await usage("deploy"), /missing required argument 'file'[^]*berth deploy --help/);
    assert.match(await usage("schedules", "pause"), /berth schedules pause --help/);
    assert.match(await usage("call", "train"), /expected APP\/FUNCTION/);
    assert.match(
      await usage("call", "a/b", "--input", "{epochs: 3}"),
      /Cannot read --input as JSON[^]*Quote it/,
    );
    assert.match(
      await usage("call", "a/b", "--input", "@nope.json"),
      /\/nowhere\/nope\.json: there is no such file/,
    );
    assert.match(await usage("call", "a/b", "--priority", "101"), /from 0 to 100/);
    assert.match(await usage("call", "a/b", "--ttl", "soon"), /Cannot read duration "soon"/);
    assert.match(await usage("call", "a/b", "--tag", "x"), /expected KEY=VALUE/);
    assert.match(await usage("calls", "--state", "done"), /Allowed choices are queued/);
    assert.match(await usage("nodes", "--limit", "0"), /whole number above 0/);
    assert.match(await usage("deploy", "nope.ts"), /there is no such file/);
    assert.match(await usage("deploy", "train.py"), /app\.python\("train\.py:main"/);
    assert.match(await usage(), /Commands:/);
  });

  it("says what to do when nobody is there, with exit code 3", async () => {
    const { code, err } = await berth(["nodes"], nobody);
    assert.equal(code, 3);
    assert.match(
      err,
      /Cannot reach Berth at http:\/\/berth\.test: connection refused; is `berth up` running\?/,
    );
  });

  it("shows a refusal with its field and request id, with exit code 3", async () => {
    const { code, err } = await berth(["ps"], refuse("not_found", 'Cannot find app "x"', 404));
    assert.equal(code, 3);
    assert.match(err, /error: Cannot find app "x"\nrequest req_1/);
  });

  it("prints errors as JSON too with --json", async () => {
    const { out } = await berth(["ps", "--json"], refuse("forbidden", "Cannot do this", 403));
    assert.deepEqual(JSON.parse(out), { error: { code: "forbidden", message: "Cannot do this" } });
  });

  it("says how to begin when no platform is known", async () => {
    const profile = () => {
      throw new PlatformError("unauthorized", "Cannot find a Berth to talk to: start one with `berth up`");
    };
    const { code, err } = await berth(["calls"], nobody, { profile });
    assert.equal(code, 3);
    assert.match(err, /berth up/);
  });

  it("prints its version and its help with exit code 0", async () => {
    assert.match((await berth(["--version"], nobody)).out, /^\d+\.\d+\.\d+\n$/);
    const { code, out } = await berth(["call", "--help"], nobody);
    assert.equal(code, 0);
    assert.match(out, /Examples:\n {2}berth call digits\/train/);
    assert.match((await berth(["--help"], nobody)).out, /Exit codes:/);
  });
});
