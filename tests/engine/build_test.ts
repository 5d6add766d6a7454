import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { BuildError, BuildLost } from "../../runner/engine.ts";
import type { OciEngine } from "../../runner/engines/oci/engine.ts";
import { containerfile } from "../../sdk/containerfile.ts";
import { builtChain, Image } from "../../sdk/image.ts";
import { parseReference } from "../../sdk/image_reference.ts";
import { readChain } from "../../sdk/cli/image_files.ts";
import type { WantedBuild } from "../../sdk/protocol.ts";
import { startDocker } from "../setup/components/docker.ts";
import { clientOf } from "../setup/components/engines.ts";
import { makeArchive, makeWheel } from "../setup/components/packages.ts";
import { startPodman } from "../setup/components/podman.ts";
import { imageOf, startKeepingRegistry } from "../setup/components/registry.ts";
import { ociEngine, ociRunner, onEveryEngine, value, type World } from "../setup/oci_world.ts";

const NEVER = new AbortController().signal;
const BASES = { deno: "unused:1", python: "unused:1" };

/** A folder with what the chains of these tests copy. */
async function sources(): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "berth-sources-" });
  await Deno.mkdir(`${folder}/wheels`);
  await Deno.mkdir(`${folder}/archive`);
  await makeWheel(`${folder}/wheels`);
  await makeArchive(`${folder}/archive`);
  await Deno.writeTextFile(`${folder}/note.txt`, `made at ${performance.timeOrigin + performance.now()}`);
  return folder;
}

/** What a chain asks of a runner. */
async function wantedOf(here: World, image: Image, folder: string, more: Partial<WantedBuild> = {}) {
  const { chain, context } = await readChain(folder, builtChain(image)!);
  const text = containerfile(chain, BASES);
  const name = new Uint8Array(
    await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text + context?.digest)),
  );
  const wanted: WantedBuild = {
    image: "img_1",
    attempt: 1,
    do: "build",
    containerfile: text,
    context: context?.digest ?? null,
    tag: `${here.registry.host}/built/images:${name.toHex()}`,
    ref: null,
    push: true,
    unpush: false,
    registry: null,
    rebuild: false,
    ...more,
  };
  return { wanted, files: context?.bytes ?? null };
}

interface Building {
  readonly wanted: WantedBuild;
  readonly files: Uint8Array<ArrayBuffer> | null;
}

async function build(
  { images }: OciEngine,
  { wanted, files }: Building,
  credential: { username: string; password: string } | null = null,
  hear: (line: string) => void = () => {},
) {
  const lines: string[] = [];
  const built = await images.build(wanted, {
    signal: new AbortController().signal,
    credential,
    files: () => Promise.resolve(files === null ? null : new Blob([files]).stream()),
    say: (_, text) => {
      lines.push(text);
      hear(text);
    },
  });
  return { ...built, lines };
}

onEveryEngine("images that are built", (world) => {
  it("are pushed, and run on another node with all that their chain says", async () => {
    const here = await world();
    const folder = await sources();
    const image = Image.fromRegistry(imageOf(here.registry.host, "debian"))
      .copy("archive", "/archive")
      .run("echo 'deb [trusted=yes] file:/archive ./' > /etc/apt/sources.list")
      .aptInstall("berth-hello")
      .copy("wheels", "/wheels")
      .pipInstall("berth-answer @ file:///wheels/berth_answer-1.0-py3-none-any.whl")
      .env({ PRICE: '$5 "net"' })
      .workdir("/srv")
      .run("berth-hello > said.txt\nid -u >> said.txt")
      .copy("note.txt", "/srv/");
    const wanted = await wantedOf(here, image, folder);
    const engine = await ociEngine(here);
    const { ref, size, lines } = await build(engine, wanted);
    assert.match(ref, /\/built\/images@sha256:[0-9a-f]{64}$/);
    assert.ok(size > 1_000_000);
    assert.ok(lines.some((line) => /^Step 5 of 11: RUN .*'berth-hello'/.test(line)), lines.join("\n"));
    assert.ok(engine.images.names().includes(ref));

    const again = await build(engine, wanted);
    assert.equal(again.ref, ref);
    assert.ok(again.lines.some((line) => /using cache/i.test(line)), again.lines.join("\n"));
    await engine.close();

    const client = clientOf(here.at);
    for (const name of [ref, wanted.wanted.tag]) await client.removeImage(name);
    assert.equal(await client.image(parseReference(ref)), null);
    client.close();
    await using runner = await ociRunner(here);
    const source = `
import os, berth_answer
def fn(n):
  with open("/srv/said.txt") as said, open("/srv/note.txt") as note:
    return [berth_answer.VALUE + n, os.environ["PRICE"], said.read(), note.read()[:7]]
`;
    runner.api.want(await runner.assign(source, { body: "python", image: { ref } }));
    assert.deepEqual(await value(runner, 1), [42, '$5 "net"', "hello\n0\n", "made at"]);
    await Deno.remove(folder, { recursive: true });
  });

  it("say which step failed, with the last lines", async () => {
    const here = await world();
    const engine = await ociEngine(here);
    const image = Image.fromRegistry(imageOf(here.registry.host, "busybox"))
      .run("echo begins")
      .run("echo before; echo broken >&2; exit 3")
      .run("echo never");
    const failure = await build(engine, await wantedOf(here, image, "/")).then(() => null, (error) => error);
    assert.ok(failure instanceof BuildError);
    assert.match(failure.message, /^Cannot build the image: step 4 of 5 \(RUN .*exit 3.*\) failed: /);
    for (const line of ["before", "broken"]) assert.ok(failure.message.split("\n").includes(line));
    const absent = Image.fromRegistry(imageOf(here.registry.host, "busybox").replace("busybox", "nothing"))
      .run("true");
    await assert.rejects(build(engine, await wantedOf(here, absent, "/")), /not found|unknown/);
    await engine.close();
  });

  it("begin with an image behind a password, by a secret, and go where the node may push", async () => {
    const here = await world();
    const { registry: { lockedHost, user, password } } = here;
    const auth = await Deno.makeTempFile({ prefix: "berth-auth-" });
    await Deno.writeTextFile(
      auth,
      JSON.stringify({ auths: { [lockedHost]: { auth: btoa(`${user}:${password}`) } } }),
    );
    const base = `${lockedHost}/berth/busybox:1`;
    const client = clientOf(here.at);
    await client.removeImage(base);
    client.close();
    const image = Image.fromRegistry(base).run(`echo ${here.at.name} > /made`);
    const open = await wantedOf(here, image, "/", { registry: lockedHost });
    const stranger = await ociEngine(here);
    await assert.rejects(build(stranger, open), /unauthorized|authentication required|no basic auth|denied/);
    const { lines } = await build(stranger, open, { username: user, password });
    assert.ok(!lines.join("\n").includes(password));
    const locked = {
      ...open,
      wanted: { ...open.wanted, tag: open.wanted.tag.replace(here.registry.host, lockedHost) },
    };
    await assert.rejects(
      build(stranger, locked, { username: user, password }),
      /^BuildError: Cannot push .*/,
    );
    await stranger.close();
    const known = await ociEngine(here, { registryAuth: auth });
    assert.match((await build(known, locked)).ref, new RegExp(`^${lockedHost}/built/images@sha256:`));
    await known.close();
    await Deno.remove(auth);
  });

  it("are given back when the engine goes away in the middle, and made when it is back", async () => {
    await Promise.all((["SIGKILL", "SIGTERM"] as const).map((signal) => outlive(world, signal)));
  });

  async function outlive(world: () => Promise<World>, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const here = await world();
    const own = await (here.at.name === "docker" ? startDocker() : startPodman([here.registry.host]));
    const engine = await ociEngine({ ...here, at: own });
    try {
      const base = imageOf(here.registry.host, "busybox");
      const slow = Image.fromRegistry(base).run(
        "trap 'exit 143' TERM; echo begins; for i in $(seq 20); do sleep 1; done",
      );
      const said = Promise.withResolvers<void>();
      const failing = assert.rejects(
        build(engine, await wantedOf(here, slow, "/"), null, (line) => line === "begins" && said.resolve()),
        BuildLost,
      );
      await said.promise;
      await own.kill(signal);
      await own.start();
      await failing;
      const quick = Image.fromRegistry(base).run(`echo ${here.at.name} ${signal} > /again`);
      assert.match((await build(engine, await wantedOf(here, quick, "/"))).ref, /@sha256:/);
    } finally {
      await engine.close();
      await own.stop();
    }
  }

  it("trust the certificates of the node and see its variables, and keep neither in their environment", async () => {
    const here = await world();
    const ca = await Deno.makeTempFile({ prefix: "berth-ca-" });
    await Deno.writeTextFile(ca, "-----BEGIN CERTIFICATE-----\n");
    const engine = await ociEngine(here, {
      ca,
      sources: { PIP_INDEX_URL: "https://mirror.example/simple" },
    });
    const image = Image.fromRegistry(imageOf(here.registry.host, "busybox"))
      .run(`cat "$SSL_CERT_FILE" && echo "index $PIP_INDEX_URL" # ${ca}`); // never the same: what an engine remembers says nothing
    const { lines, ref } = await build(engine, await wantedOf(here, image, "/"));
    assert.ok(lines.includes("-----BEGIN CERTIFICATE-----"), lines.join("\n"));
    assert.ok(lines.includes("index https://mirror.example/simple"));
    await engine.close();
    const plain = await ociEngine(here);
    const after = await build(plain, await wantedOf(here, Image.fromRegistry(ref).run("env"), "/"));
    const kept = after.lines.filter((line) => /^(SSL_CERT_FILE|PIP_INDEX_URL)=/.test(line));
    assert.deepEqual(kept, []);
    await plain.close();
    await Deno.remove(ca);
  });

  it("go from their registry too, where that allows it and the node may; else it is said why not", async () => {
    const here = await world();
    const { registry: { host, lockedHost, vacantHost, user, password } } = here;
    const auth = await Deno.makeTempFile({ prefix: "berth-auth-" });
    const auths = { [lockedHost]: { auth: btoa(`${user}:${password}`) } };
    await Deno.writeTextFile(auth, JSON.stringify({ auths }));
    const image = Image.fromRegistry(imageOf(host, "busybox")).run(`echo ${here.at.name} > /gone`);
    const engine = await ociEngine(here, { registryAuth: auth });
    const { wanted } = await wantedOf(here, image, "/");
    const isThere = async (ref: string, headers = {}) => {
      const [name, digest] = ref.split("@"), [at, ...path] = name!.split("/");
      const accept =
        "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";
      const response = await fetch(`http://${at}/v2/${path.join("/")}/manifests/${digest}`, {
        headers: { ...headers, accept },
      });
      await response.body?.cancel();
      return response.ok;
    };
    const push = async (to: string) => {
      const tag = wanted.tag.replace(host, to);
      return { ...wanted, tag, ref: (await build(engine, { wanted: { ...wanted, tag }, files: null })).ref };
    };
    const remove = (some: WantedBuild, { images }: OciEngine = engine) =>
      images.remove({ ...some, do: "remove", unpush: true }, NEVER);

    const open = await push(host);
    assert.ok(await isThere(open.ref));
    assert.equal(await remove(open), null);
    assert.ok(!await isThere(open.ref));
    assert.equal(await remove(open), null, "it is gone already");

    const locked = await push(lockedHost);
    const stranger = await ociEngine(here);
    assert.match((await remove(locked, stranger))!, /keeps it: this node may not delete there \(401\)/);
    await stranger.close();
    assert.equal(await remove(locked), null);
    const login = { authorization: `Basic ${btoa(`${user}:${password}`)}` };
    assert.ok(!await isThere(locked.ref, login));

    await using _keeping = await startKeepingRegistry(vacantHost);
    const kept = await push(vacantHost);
    assert.match((await remove(kept))!, /keeps it: it does not allow deletion \(405\)/);
    assert.ok(await isThere(kept.ref));
    await engine.close();
    await Deno.remove(auth);
  });

  it("stay on their node where there is no registry; are pulled ahead where there is; and go", async () => {
    const here = await world();
    const engine = await ociEngine(here);
    const { images } = engine;
    let changes = 0;
    images.onChange(() => changes++);
    const image = Image.fromRegistry(imageOf(here.registry.host, "busybox")).run(
      `echo ${here.at.name} > /kept`,
    );
    const local = await wantedOf(here, image, "/", { push: false });
    const tag = `localhost/berth:${local.wanted.tag.split(":").at(-1)}`;
    const wanted = { ...local.wanted, tag };
    assert.equal((await build(engine, { ...local, wanted })).ref, tag);
    assert.deepEqual([images.names().includes(tag), changes], [true, 1]);

    const client = clientOf(here.at);
    const ahead = imageOf(here.registry.host, "python");
    await client.removeImage(ahead);
    await images.prefetch(ahead);
    assert.notEqual(await client.image(parseReference(ahead)), null);
    assert.deepEqual([images.names().includes(ahead), changes], [true, 2]);
    await images.prefetch(`${here.registry.host}/berth/absent:1`); // never fails

    await images.remove({ ...wanted, do: "remove", ref: tag }, NEVER);
    assert.equal(await client.image(parseReference(tag)), null);
    assert.ok(!images.names().includes(tag));
    client.close();
    await engine.close();
  });
});
