/** What a person sees when a machine is ready. */
import type { Output } from "../../sdk/cli/output.ts";
import { span } from "../../sdk/cli/words.ts";
import type { ListedGpu } from "../../sdk/gpu_list.ts";
import { VERSION } from "../../sdk/version.ts";

export interface Ready {
  readonly url: string;
  readonly root: string;
  /** Those that were declared though there are none; undefined when the runner asks the machine. */
  readonly gpus: readonly ListedGpu[] | undefined;
  readonly tookMs: number;
}

export function banner(output: Output, { url, root, gpus, tookMs }: Ready): string {
  const row = (name: string, text: string) => `  ${output.paint("dim", name.padEnd(6))} ${text}`;
  return [
    "",
    `  ${output.paint(["bold", "cyan"], `Berth ${VERSION}`)} is ready, in ${span(tookMs)}`,
    "",
    row("URL", output.paint("bold", url)),
    row("API", new URL("/openapi.json", url).href),
    row("Data", root),
    ...(gpus === undefined ? [] : [row("GPUs", `${gpuText(gpus)}, ${output.paint("yellow", "simulated")}`)]),
    "",
    "  Next, in another terminal:",
    "    deno task berth deploy app.ts",
    "    deno task berth call APP/FUNCTION --input JSON --follow",
    "    deno task berth ps",
    "",
    `  ${output.paint("dim", "Ctrl-C stops everything.")}`,
    "",
  ].join("\n");
}

/** `8 × H100, 2 × L4` */
function gpuText(gpus: readonly ListedGpu[]): string {
  const models = [...new Set(gpus.map(({ model }) => model))];
  return models.map((model) => `${gpus.filter((gpu) => gpu.model === model).length} × ${model}`).join(", ");
}
