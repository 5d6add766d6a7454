/**
 * A language model behind an OpenAI-compatible API: vLLM from its own image, from zero to as many GPUs as there are requests for, and
 * back. `--host` and `port`, since it listens on all addresses of its container; a node with a container engine runs it.
 *
 *     deno task berth deploy sdk/examples/vllm.ts
 *     curl URL/v1/chat/completions -H "authorization: Bearer $BERTH_KEY" -H "content-type: application/json" \
 *       -d '{"model":"Qwen/Qwen3-8B","messages":[{"role":"user","content":"Hello"}]}'
 *
 * What it costs to start, and how many tokens a second it writes, depends on the GPU, and was not measured here.
 */
import { App } from "berth";

const app = new App("vllm");

export const chat = app.server({
  image: "vllm/vllm-openai:v0.11.0",
  command: ["vllm", "serve", "Qwen/Qwen3-8B", "--host", "0.0.0.0", "--port", "$PORT"],
  port: 8000,
  health: { path: "/health", interval: "5s" },
  gpu: ["H100", "A100>=80GiB", { vram: ">=40GiB" }],
  cpu: 4,
  memory: "24GiB",
  disk: "60GiB", // of /tmp, where the weights go
  env: { HF_HOME: "/tmp/huggingface" },
  startTimeout: "20m",
  // It batches what comes at the same time, and gets slower for each when there is more of it.
  concurrency: 128,
  scale: { max: 4, targetConcurrency: 48 },
  drain: "2m",
});
