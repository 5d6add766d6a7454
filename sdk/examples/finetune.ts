/**
 * A fine-tune in Python that survives losing its machine: each epoch is a checkpoint, and the next attempt goes on from the last.
 * Here the first attempt fails on purpose, halfway.
 *
 *     deno task berth deploy sdk/examples/finetune.ts
 *     deno task berth call finetune/finetune --input '{"epochs":6,"failAfter":3}'
 *     deno task berth call finetune/Classifier.predict --input '[[0.9,0.1],[0.1,0.9]]'
 *
 * On one core: 5.6 s for the first container, which installs NumPy; then 0.15 s for both attempts, which get 99 % of the points right.
 */
import { App } from "berth";

const app = new App("finetune");

/** Containers of both are forked from one process that has imported NumPy. */
const numpy = { requirements: ["numpy==2.2.6"], preload: ["numpy"], startTimeout: "5m" } as const;

/** Trains the last layer of a network on points of two kinds, and keeps it under a name. */
export const finetune = app.python<
  { epochs: number; failAfter?: number },
  { attempt: number; resumedAt: number; accuracy: number }
>("finetune.py:finetune", { ...numpy, retries: { max: 1, backoff: "10ms" } });

/** Answers with what was trained last. */
export const Classifier = app.python("finetune.py:Classifier", numpy);
