/**
 * Python: the function is in a `.py` file beside this one; what calls it need not know.
 *
 *     deno task berth run sdk/examples/python.ts --input '{"numbers":[3,1,4,1,5]}'
 */
import { App } from "berth";

const app = new App("python");

export const summary = app.python<{ numbers: number[] }, { mean: number; stdev: number }>(
  "summary.py:summary",
);
