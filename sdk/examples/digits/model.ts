/**
 * A classifier with one hidden layer, and its training by gradient descent. Arrays of jax-js are moved: who passes one on
 * has lost it, unless by `.ref`.
 */
import {
  defaultDevice,
  init,
  jit,
  nn,
  numpy as np,
  random,
  tree,
  valueAndGrad,
} from "npm:@jax-js/jax@0.1.25";
import { type Digit, PIXELS } from "./data.ts";

const HIDDEN = 128;
const CLASSES = 10;
const BATCH = 50;
const LEARNING_RATE = 0.7;
const SHAPES = { w1: [PIXELS, HIDDEN], b1: [HIDDEN], w2: [HIDDEN, CLASSES], b2: [CLASSES] };

// Types, not interfaces: jax-js looks into the former only.
type Weights = { w1: np.Array; b1: np.Array; w2: np.Array; b2: np.Array };
type Batch = { x: np.Array; y: np.Array };

/** What has been learnt so far. */
export interface Model {
  readonly weights: Weights;
  /** Passes over the data. */
  readonly epochs: number;
  /** Digits it has learnt from. */
  readonly seen: number;
}

/** Grey values from 0 to 255, row by row. */
export type Picture = ArrayLike<number>;

/** Chooses WebGPU where the machine has a real adapter: one made of software is slower than wasm. */
export async function chooseDevice(): Promise<string> {
  const adapter = await navigator.gpu?.requestAdapter();
  const real = adapter && !adapter.info.isFallbackAdapter;
  if (real && (await init("webgpu")).includes("webgpu")) defaultDevice("webgpu");
  return defaultDevice();
}

/** A model that knows nothing, the same each time. */
export function newModel(): Model {
  const noise = (seed: number, shape: number[]) =>
    random.normal(random.key(seed), shape).mul(Math.sqrt(2 / shape[0]!));
  const { w1, b1, w2, b2 } = SHAPES;
  return {
    weights: { w1: noise(1, w1), b1: np.zeros(b1), w2: noise(2, w2), b2: np.zeros(b2) },
    epochs: 0,
    seen: 0,
  };
}

const logits = ({ w1, b1, w2, b2 }: Weights, x: np.Array): np.Array =>
  np.matmul(nn.relu(np.matmul(x, w1).add(b1)), w2).add(b2);

const crossEntropy = (weights: Weights, { x, y }: Batch): np.Array =>
  nn.logSoftmax(logits(weights, x)).mul(y).sum().mul(-1 / BATCH);

/** One step down the gradient: the new weights, and the loss before it. */
const step = jit((weights: Weights, batch: Batch): [Weights, np.Array] => {
  const [loss, slope] = valueAndGrad(crossEntropy)(tree.ref(weights), batch);
  const next = tree.map((w: np.Array, g: np.Array) => w.sub(g.mul(LEARNING_RATE)), weights, slope);
  return [next as Weights, loss];
});

/** One pass over the data. Takes the model's weights; returns the better model and the mean loss. */
export async function trainEpoch(
  model: Model,
  batches: readonly Batch[],
): Promise<{ model: Model; loss: number }> {
  let weights = model.weights;
  let sum = 0;
  for (const batch of batches) {
    const [next, loss] = step(weights, tree.ref(batch));
    weights = next;
    sum += (await loss.data())[0]!;
  }
  return { model: { ...model, weights, epochs: model.epochs + 1 }, loss: sum / batches.length };
}

const likeliest = jit((weights: Weights, x: np.Array): np.Array => np.argmax(logits(weights, x), 1));

/** What each picture shows. */
export async function classify({ weights }: Model, pictures: readonly Picture[]): Promise<number[]> {
  return Array.from(await likeliest(tree.ref(weights), matrix(pictures)).data());
}

/** The share of the digits that the model reads rightly. */
export async function accuracy(model: Model, digits: readonly Digit[]): Promise<number> {
  const answers = await classify(model, digits.map(({ pixels }) => pixels));
  return digits.filter(({ label }, i) => answers[i] === label).length / digits.length;
}

/** Digits as the training wants them; what does not fill a batch is left out. */
export function batchesOf(digits: readonly Digit[]): Batch[] {
  return Array.from({ length: Math.floor(digits.length / BATCH) }, (_, i) => {
    const some = digits.slice(i * BATCH, (i + 1) * BATCH);
    const labels = np.array(some.map(({ label }) => label), { dtype: np.int32 });
    return { x: matrix(some.map(({ pixels }) => pixels)), y: nn.oneHot(labels, CLASSES) };
  });
}

/** Gives memory back: nobody else knows when arrays are no longer wanted. */
export const release = (arrays: Weights | readonly Batch[]): void =>
  tree.dispose(arrays as Weights | Batch[]);

/** Pictures as rows of numbers from 0 to 1. */
function matrix(pictures: readonly Picture[]): np.Array {
  const numbers = new Float32Array(pictures.length * PIXELS);
  pictures.forEach((picture, row) => numbers.set(picture, row * PIXELS));
  return np.array(numbers.map((grey) => grey / 255)).reshape([pictures.length, PIXELS]);
}

/** The model as bytes, for a checkpoint. */
export async function pack({ weights, epochs, seen }: Model): Promise<Uint8Array<ArrayBuffer>> {
  const { w1, b1, w2, b2 } = tree.ref(weights);
  const parts = await Promise.all([w1, b1, w2, b2].map((array) => array.data()));
  return new Uint8Array(Float32Array.from([epochs, seen, ...parts.flatMap((part) => [...part])]).buffer);
}

/** How many digits a packed model has learnt from. */
export const seenBy = (bytes: Uint8Array): number => new Float32Array(bytes.slice(4, 8).buffer)[0]!;

/** The model that was packed. */
export function unpack(bytes: Uint8Array): Model {
  const numbers = new Float32Array(bytes.slice().buffer);
  let at = 2;
  const next = (shape: number[]) => {
    const size = shape.reduce((product, n) => product * n, 1);
    return np.array(numbers.slice(at, at += size)).reshape(shape);
  };
  const { w1, b1, w2, b2 } = SHAPES;
  const weights = { w1: next(w1), b1: next(b1), w2: next(w2), b2: next(b2) };
  return { weights, epochs: numbers[0]!, seen: numbers[1]! };
}
