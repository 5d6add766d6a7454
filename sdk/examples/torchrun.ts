/**
 * Training with PyTorch on several machines: each call runs on two nodes at once, and on each `torchrun` starts the processes, which
 * find each other by what Berth gives a gang (`MASTER_ADDR`, `NODE_RANK`, …). Needs `torch` in the node's Python, or in an `image`:
 * with `image: "pytorch/pytorch:2.5.1-cuda12.4-cudnn9-runtime"` and nothing else changed each rank is a container, on the network of
 * its machine. On GPUs add `gpu: "H100:8"`: torchrun then starts a process for each, and they talk by NCCL instead of Gloo.
 *
 *     deno task berth pools create duo --provider local --max 2 --cpu 1 --memory 3GiB
 *     deno task berth run sdk/examples/torchrun.ts --input '{"epochs":20}'
 *
 * Two nodes on 2 shared cores, without GPUs, PyTorch 1.13: 1.9 s until the ranks have met, 0.19 s an epoch of 4,096 points, 99.7 % of
 * them right after 20. With NCCL on GPUs it was not measured.
 */
import { App } from "berth";

const app = new App("torchrun");

export const train = app.python<
  { epochs: number; processes?: number; failAfter?: number },
  { processes: number; accuracy: number; spread: number; resumedAt: number; attempt: number }
>("torchrun.py:train", { nodes: 2, memory: "2GiB", retries: { max: 1, backoff: "10ms" } });
