import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { BuildOutput } from "../../runner/engines/oci/build_output.ts";
import { buildTar } from "../../runner/engines/oci/build_tar.ts";
import { registryConfig } from "../../runner/engines/oci/credentials.ts";

function output() {
  const said: string[] = [];
  const of = new BuildOutput((stream, text) => void said.push(`${stream}: ${text}`));
  return { of, said };
}

describe("BuildOutput", () => {
  it("tells whole lines, and steps as a person would write them, of Docker and Podman alike", () => {
    for (const step of ["Step 2/3 : ", "STEP 2/3: "]) {
      const { of, said } = output();
      of.push({ stream: `${step}RUN ["/bin/sh","-c","make all"]` });
      of.push({ stream: "\n ---> Running in 0123456789ab\nhel" });
      of.push({ stream: "lo\n\u001b[91mred\u001b[0m\n" });
      of.push({ stream: `${step.replace("2", "3")}RUN ["env","A=1","python3","-m","pip","install","x"]\n` });
      of.push({ status: "Pulling from library/base" });
      of.push({ status: "Downloading", id: "layer" });
      of.push({ stream: "no newline" });
      of.end();
      assert.deepEqual(said, [
        "system: Step 2 of 3: RUN make all",
        "stdout: hello",
        "stdout: red",
        "system: Step 3 of 3: RUN python3 -m pip install x",
        "stdout: Pulling from library/base",
        "stdout: no newline",
      ]);
    }
  });

  it("explains a failure by its step and what that printed last", () => {
    const { of } = output();
    of.push({ stream: "Step 1/2 : FROM a\nof the first\nStep 2/2 : RUN make\n" });
    for (let n = 1; n <= 20; n++) of.push({ stream: `line ${n}\n` });
    const lines = of.explain("returned a non-zero code: 2").split("\n");
    assert.equal(
      lines[0],
      "Cannot build the image: step 2 of 2 (RUN make) failed: returned a non-zero code: 2",
    );
    assert.deepEqual([lines.length, lines[1], lines.at(-1)], [13, "line 9", "line 20"]);
    assert.equal(output().of.explain("no such base"), "Cannot build the image: no such base");
  });
});

const read = (tar: ReadableStream<Uint8Array>) => new Response(tar as BodyInit).text();

describe("buildTar()", () => {
  it("puts the Containerfile before the files, in one tar", async () => {
    const files = new Blob(["the files"]).stream();
    const { tar, args } = await buildTar("FROM a\n", { files, ca: null, env: {} });
    const text = await read(tar);
    assert.match(text, /^\.berth\/Containerfile\0/);
    assert.match(text, /FROM a\n\0+the files$/);
    assert.deepEqual(args, {});
    const alone = await read((await buildTar("FROM a\n", { files: null, ca: null, env: {} })).tar);
    assert.equal(alone.length, 2048);
  });

  it("has every stage trust the node's certificates and see its variables, as arguments", async () => {
    const containerfile = "FROM a AS b\nRUN x\n  from b\nRUN y\n";
    const env = { PIP_INDEX_URL: "https://mirror.example" };
    const { tar, args } = await buildTar(containerfile, { files: null, ca: "PEM", env });
    const text = await read(tar);
    assert.equal(
      text.match(/COPY \.berth\/ca\.pem \/\.berth-ca\.pem\nARG PIP_INDEX_URL\nARG SSL_CERT_FILE\n/g)?.length,
      2,
    );
    assert.ok(text.includes("\0PEM\0"));
    assert.deepEqual([args.PIP_INDEX_URL, args.PIP_CERT], ["https://mirror.example", "/.berth-ca.pem"]);
  });
});

describe("registryConfig()", () => {
  it("names registries as engines look them up", () => {
    const text = registryConfig(
      new Map([["docker.io", { username: "a", password: "b" }], ["r.example:5000", { identityToken: "t" }]]),
    );
    assert.deepEqual(
      JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(text, { alphabet: "base64url" }))),
      {
        "https://index.docker.io/v1/": { username: "a", password: "b" },
        "r.example:5000": { identitytoken: "t" },
      },
    );
  });
});
