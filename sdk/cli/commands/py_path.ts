/** `berth py-path`: where editors and type checkers find the module that Python functions import. */
import { fileURLToPath } from "node:url";
import { command, type Declare } from "../cli.ts";
import { CliError, EXIT } from "../failure.ts";

const FOLDER = new URL("../../../runner/guests/", import.meta.url);

export const pyPath: Declare = (program, cli) => {
  const summary = "Print the folder of the Python module `berth`, for editors and type checkers";
  command(program, "py-path", summary, ["PYTHONPATH=$(berth py-path) pyright train.py"])
    .action(cli.action(async (job) => {
      const path = fileURLToPath(FOLDER).replace(/\/$/, "");
      if (await Deno.stat(`${path}/berth.pyi`).catch(() => null) === null) {
        throw new CliError(EXIT.usage, "Cannot find the Python module: this is the client alone");
      }
      job.output.result({ path }, () => path);
    }));
};
