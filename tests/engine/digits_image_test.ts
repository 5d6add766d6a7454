/**
 * The whole way of a training: Python in an image that Berth has built, pulled by two machines, its checkpoints on S3, and one of
 * the machines lost on the way.
 */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { S3Blobs } from "../../api/blobs/s3.ts";
import { parseReference } from "../../sdk/image_reference.ts";
import { realClock } from "../../sdk/ports.ts";
import type { Call, EventItem, Node } from "../../sdk/protocol.ts";
import { loadDigits } from "../../sdk/examples/digits/data.ts";
import { startGateway } from "../setup/components/ceph.ts";
import type { TestEngine } from "../setup/components/engine.ts";
import { startIndex } from "../setup/components/package_index.ts";
import { imageOf } from "../setup/components/registry.ts";
import { JoinedNode } from "../setup/joined_node.ts";
import { withoutEngines, withoutS3 } from "../setup/machine.ts";
import { Platform } from "../setup/platform.ts";
import { testPlace, testS3 } from "../setup/s3.ts";
import { startTwoMachines } from "../setup/two_machines.ts";
import { until } from "../setup/until.ts";

const IMAGES = 2_000;
/** Of these, not trained with. */
const TESTED = 500;
const PATIENCE_MS = 240_000;

const APP = `
import { App, Image } from "berth";
const app = new App("digits");
const image = Image.python("3.11").pipInstall("numpy==2.2.6").env({ OMP_NUM_THREADS: "1" });
export const train = app.python("train.py:train", { image, startTimeout: "5m", retries: 2 });
`;
/** A first attempt never comes to an end by itself. */
const TRAIN = `
import base64, io, os, time
import numpy as np

def train(input, ctx):
    pixels, labels = ([np.frombuffer(base64.b64decode(input[key]), np.uint8) for key in ("pixels", "labels")])
    pictures = pixels.reshape(len(labels), -1) / 255
    saved = ctx.checkpoint.load()
    state = np.load(io.BytesIO(saved)) if saved else None
    epoch, weights = (int(state["epoch"]), state["weights"]) if saved else (0, np.zeros((pictures.shape[1], 10)))
    resumed_at, train = epoch, slice(input["tested"], None)
    while epoch < input["epochs"]:
        for _ in range(20):
            scores = np.exp(pictures[train] @ weights)
            wrong = scores / scores.sum(1, keepdims=True) - np.eye(10)[labels[train]]
            weights = weights - 0.5 * pictures[train].T @ wrong / len(wrong)
        epoch += 1
        file = io.BytesIO()
        np.savez(file, epoch=epoch, weights=weights)
        ctx.checkpoint.save(file.getvalue())
        ctx.report(epoch=epoch)
        while ctx.attempt == 1 and epoch == 3:
            time.sleep(1)
    right = (pictures[: input["tested"]] @ weights).argmax(1) == labels[: input["tested"]]
    return {"attempt": ctx.attempt, "resumedAt": resumed_at, "accuracy": right.mean(), "numpy": np.__version__}
`;

/** Two machines, as far as networks go: on this one Docker, on another, which reaches the first at one address, Podman. */
async function setup() {
  await using stack = new AsyncDisposableStack();
  const { other, registry, docker, podman } = await startTwoMachines(stack);
  const gateway = await startGateway((await testS3()).conf, undefined, other.address);
  stack.defer(gateway.kill);
  const place = { ...await testPlace(), endpoint: gateway.endpoint };
  const platform = await Platform.up({
    args: ["--no-runner", "--host", other.address, "--registry", `${registry}/berth/built`],
    env: {
      BERTH_BASE_PYTHON: imageOf(registry, "debian"),
      S3_ENDPOINT: place.endpoint,
      S3_BUCKET: place.bucket,
      S3_REGION: place.region,
      S3_ACCESS_KEY_ID: place.accessKeyId,
      S3_SECRET_ACCESS_KEY: place.secretAccessKey,
      S3_PREFIX: place.prefix,
    },
  });
  stack.use(platform);
  const blobs = await S3Blobs.open(place, { clock: realClock });
  stack.defer(() => blobs.close());
  await platform.post("/v1/pools", { name: "room", provider: "static" });
  const index = await startIndex(other.address, ["numpy==2.2.6"]);
  stack.defer(index.stop);
  const join = async (name: string, { socket }: TestEngine, through: readonly string[] = []) => {
    const env = { BERTH_ENGINE: "oci", BERTH_OCI_SOCKET: socket, ...index.env };
    const node = await JoinedNode.start(platform, "room", name, { env, through });
    whole.use(node);
    return node;
  };
  const whole = stack.move();
  const parts = { docker, podman, registry, platform, blobs, other, join };
  return { ...parts, [Symbol.asyncDispose]: () => whole.disposeAsync() };
}

describe("a training in an image of its own", { skip: withoutEngines || withoutS3 }, () => {
  it("goes on from S3 on a second machine, which pulls the image, when the first is killed", async () => {
    await using world = await setup();
    const { docker, podman, registry, platform, blobs, other, join } = world;
    const first = await join("first", docker);
    const { images } = await platform.deploy(APP, "app.ts", { "train.py": TRAIN });
    const image = parseReference(images![0]!.ref);
    assert.equal(image.registry, registry);
    const { body } = await platform.post<{ calls: { id: string }[] }>(
      "/v1/apps/digits/functions/train/calls",
      { input: { ...await digits(), tested: TESTED, epochs: 8 } },
    );
    const { id } = body.calls[0]!;
    const events = () => platform.all<EventItem & { node?: string }>(`/v1/calls/${id}/events`);
    await until("three epochs are saved", async () => {
      const { failure, endedAt } = (await platform.ask<Call>(`/v1/calls/${id}`)).body;
      assert.equal(endedAt, null, JSON.stringify(failure));
      return (await events()).filter(({ kind }) => kind === "report").length === 3 || null;
    }, PATIENCE_MS);

    await join("second", podman, other.through);
    const nodes = await until("both nodes are there", async () => {
      const nodes = await platform.all<Node>("/v1/nodes");
      return nodes.length === 2 ? new Map(nodes.map(({ name, id }) => [name, id])) : null;
    });
    // It comes back, else half a minute would pass before its call is taken for lost; but nothing is placed there any more, nor is there
    // anything to go on with.
    await platform.post(`/v1/nodes/${nodes.get("first")}/cordon`, {});
    await first.kill();
    for (const { Id } of await docker.client.containers()) await docker.client.kill(Id);
    first.restart();
    const { result, failure } = await platform.ended(id, PATIENCE_MS);
    const { accuracy, ...rest } = result as Record<string, unknown>;
    assert.deepEqual(rest, { attempt: 2, resumedAt: 3, numpy: "2.2.6" }, JSON.stringify(failure));
    assert.ok(accuracy as number > 0.8, `${accuracy}`);
    const started = (await events()).filter(({ kind }) => kind === "started").map(({ node }) => node);
    assert.deepEqual(started, [nodes.get("first"), nodes.get("second")]);
    assert.notEqual(await podman.client.image(image), null);

    const keys = (await Array.fromAsync(blobs.list(""))).map((key) => key.split("/")[0]);
    assert.equal(keys.filter((key) => key === "checkpoints").length, 8, keys.join(" "));
    await assert.rejects(Deno.stat(`${platform.dir}/data/blobs`), Deno.errors.NotFound);
  });
});

/** Handwritten digits, as a call takes them. */
async function digits(): Promise<{ pixels: string; labels: string }> {
  const some = (await loadDigits()).training.slice(0, IMAGES);
  const pixels = new Uint8Array(some.flatMap(({ pixels }) => [...pixels]));
  return { pixels: pixels.toBase64(), labels: new Uint8Array(some.map(({ label }) => label)).toBase64() };
}
