/**
 * A LoRA fine-tune with PyTorch, Transformers and PEFT that survives losing its machine, and what it made, served by name. Runs on
 * the GPU that it is given, or on the CPU where that is a simulated one. Needs `torch`, `transformers` and `peft` in the node's
 * Python, or an `image` that has them.
 *
 *     deno task berth deploy sdk/examples/lora.ts
 *     deno task berth call lora/finetune --input '{"steps":60,"failAfter":30}'
 *     deno task berth call lora/Writer.write --input '"low rank"'
 *
 * One core, PyTorch 1.13: 1.3 s until the modules are there, 10 ms a step, and a tenth of a second from the failure to the next
 * attempt's first step, in the same container. The loss is 4.2 at first, 0.18 after 60 steps, 0.07 after 200. On a GPU, and with a
 * model of a useful size, it was not measured.
 */
import { App } from "berth";

const app = new App("lora");
/** On a CPU PyTorch would take all cores of the machine, whatever it is given. */
const room = { gpu: "any", cpu: 1, memory: "2GiB", env: { OMP_NUM_THREADS: "1" } } as const;

/** Trains adapters of a frozen model, and publishes them as the next version of artifact `lora-adapter`. */
export const finetune = app.python<
  { steps: number; failAfter?: number },
  { device: string; attempt: number; resumedAt: number; loss: number; version: number }
>("lora.py:finetune", { ...room, retries: { max: 1, backoff: "10ms" } });

/** Goes on writing in the words of the newest adapters. */
export const Writer = app.python("lora.py:Writer", room);
