/** `berth call`: one call of a deployed function. */
import { create, newKey, type Target } from "../../calls.ts";
import type { Call } from "../../protocol/calls.ts";
import { outgoing } from "../../values.ts";
import { type CallFlags, callOptions, callOptionsOf } from "../call_options.ts";
import { CallView, failureText, summary } from "../call_view.ts";
import { command, type Declare, type Job } from "../cli.ts";
import { EXIT, usageError } from "../failure.ts";
import { waitForCall } from "../follow_call.ts";
import { readInput } from "../input.ts";

interface Flags extends CallFlags {
  readonly wait: boolean;
  readonly follow?: boolean;
}

const EXAMPLES = [
  `berth call digits/train --input '{"epochs": 3}' --follow`,
  "berth call digits/Digits.classify --input @pixels.json --json",
  "berth call digits/nightly --no-wait",
];

export const call: Declare = (program, cli) => {
  callOptions(command(program, "call", "Call a deployed function and wait for its result", EXAMPLES))
    .argument("<app/function>", "what to call: APP/FUNCTION or APP/CLASS.METHOD")
    .option("--wait", "wait for the result", true)
    .option("--no-wait", "print the id of the call and leave it to run")
    .option("-f, --follow", "show its logs and progress meanwhile")
    .action(cli.action<Flags>(async (job, flags, name = "") => {
      const target = targetOf(name);
      const id = await createCall(job, target, flags);
      if (!flags.wait) {
        job.output.result({ id, state: "queued" }, () => id);
        return job.output.note(job.output.tint("dim", `Follow it: berth logs -f ${id}`));
      }
      return await finish(job, id, flags.follow === true);
    }));
};

/** Creates the call that the flags describe, and answers its id. */
export async function createCall(job: Job, target: Target, flags: CallFlags): Promise<string> {
  const input = await readInput(job.shell, flags.input);
  const wire = job.wire();
  const created = await create(wire, {
    target,
    inputs: `"input":${await outgoing(wire, JSON.stringify(input), "the input")}`,
    options: callOptionsOf(flags),
    key: newKey(job.shell.random),
  });
  return created.calls[0]!.id;
}

/** Waits for the call and says how it ended. Ctrl-C ends the waiting, not the call. */
async function finish(job: Job, id: string, follow: boolean): Promise<number> {
  const signal = job.shell.interrupted();
  const view = new CallView(job.output);
  try {
    return showEnd(job, await waitForCall(job.patientWire(), id, { view, follow, signal }));
  } catch (error) {
    if (!signal.aborted) throw error;
    job.output.note(`The call goes on. Follow it: berth logs -f ${id}; end it: berth cancel ${id}`);
    return EXIT.interrupted;
  }
}

/** Prints a finished call and answers the exit code. */
export function showEnd({ output }: Job, call: Call): number {
  const why = failureText(output, call);
  output.note(summary(output, call));
  if (why !== undefined) output.note(why);
  if (output.json) output.print(JSON.stringify(call));
  else if (call.state === "succeeded") output.print(JSON.stringify(call.result ?? null, null, 2));
  return call.state === "succeeded" ? EXIT.ok : EXIT.callFailed;
}

function targetOf(text: string): Target {
  const [app, name, ...more] = text.split("/");
  if (app && name && more.length === 0) return { app, name };
  throw usageError(
    `Cannot call "${text}": expected APP/FUNCTION or APP/CLASS.METHOD`,
    "List what is deployed: berth apps",
  );
}
