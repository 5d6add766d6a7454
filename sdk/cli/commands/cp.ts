/** `berth cp`: files into containers, and out of them. */
import { command, type Declare } from "../cli.ts";
import { runningContainer } from "../container_ref.ts";
import { copyIn, copyOut } from "../copy.ts";
import { usageError } from "../failure.ts";
import { count } from "../words.ts";

export const cp: Declare = (program, cli) => {
  const examples = ["berth cp ctr_…:/tmp/trace.json .", "berth cp weights chat/vllm:/tmp/weights"];
  command(program, "cp", "Copy a file or folder into a container, or out of it", examples)
    .argument("<from>", "CONTAINER:PATH, or a path here")
    .argument("<to>", "a path here, or CONTAINER:PATH; into it, where it is a folder")
    .action(cli.action(async (job, _, from = "", to = "") => {
      const [source, target] = [placeOf(from), placeOf(to)];
      if ((source.container === null) === (target.container === null)) {
        throw usageError("Cannot copy: exactly one of the two must be CONTAINER:PATH");
      }
      const container = await runningContainer(job.wire(), (source.container ?? target.container)!);
      const copied = source.container === null
        ? await copyIn(job, { container, from: source.path, to: target.path })
        : await copyOut(job, { container, from: source.path, to: target.path });
      if (job.output.json) job.output.print(JSON.stringify({ container, bytes: copied }));
      else job.output.note(`Copied ${count(copied, "byte")}`);
    }));
};

/** What comes before a colon names a container, unless it looks like a path. */
function placeOf(text: string): { container: string | null; path: string } {
  const named = /^([A-Za-z_][\w./-]*):(.+)$/s.exec(text);
  return named === null ? { container: null, path: text } : { container: named[1]!, path: named[2]! };
}
