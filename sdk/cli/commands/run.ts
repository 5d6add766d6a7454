/** `berth run`: deploys a file for one call, shows it live, and takes it away again. */
import { routes } from "../../protocol/routes.ts";
import { send, type Wire } from "../../transport.ts";
import { type CallFlags, callOptions } from "../call_options.ts";
import { CallView } from "../call_view.ts";
import { command, type Declare, type Job } from "../cli.ts";
import { deployPacked, packFile } from "../deploy_app.ts";
import { EXIT, usageError } from "../failure.ts";
import { waitForCall } from "../follow_call.ts";
import type { Packed } from "../pack.ts";
import { createCall, showEnd } from "./call.ts";

interface Flags extends CallFlags {
  readonly check: boolean;
}

const NAME_LENGTH_MAX = 63;

export const run: Declare = (program, cli) => {
  const examples = [`berth run app.ts --input '{"epochs": 1}'`, "berth run app.ts:train --input @input.json"];
  callOptions(command(program, "run", "Run one function of a file, without keeping a deployment", examples))
    .argument("<file[:function]>", "module, and which of its functions when it has several")
    .option("--no-check", "skip the type check")
    .action(cli.action<Flags>(async (job, flags, what = "") => {
      const { file, name } = split(what);
      const wire = job.wire(); // it throws when no platform is known
      const packed = await packFile(job, file, flags.check);
      const method = methodOf(packed, name);
      return await inTemporaryApp(job, wire, packed, (app) => runOnce(job, { app, name: method }, flags));
    }));
};

/** `app.ts:train` → the file and the function; the colon must come after the file's extension. */
function split(what: string): { file: string; name: string | undefined } {
  const [, file = what, name] = /^(.*\.[cm]?[jt]sx?):([\w$.-]+)$/.exec(what) ?? [];
  return { file, name };
}

function methodOf({ manifest }: Packed, name: string | undefined): string {
  const methods = manifest.functions.flatMap((spec) => spec.methods).filter(({ kind }) => kind === "call");
  const names = methods.map((method) => method.name);
  if (name !== undefined && names.includes(name)) return name;
  if (name === undefined && names.length === 1) return names[0]!;
  const wrong = name === undefined ? "which function is meant" : `it has no function "${name}"`;
  throw usageError(
    `Cannot run this file: ${name === undefined ? "say " : ""}${wrong}`,
    `It has: ${names.join(", ") || "no functions"}.`,
  );
}

/** The app lives under a name of its own, beside a deployed one of the same name, for as long as `work` takes. */
async function inTemporaryApp(
  job: Job,
  wire: Wire,
  packed: Packed,
  work: (app: string) => Promise<number>,
): Promise<number> {
  const suffix = `-run-${job.shell.random.bytes(4).toHex()}`;
  const app = packed.app.slice(0, NAME_LENGTH_MAX - suffix.length) + suffix;
  await deployPacked(job, wire, packed, app);
  try {
    return await work(app);
  } finally {
    await remove(job, wire, app);
  }
}

async function runOnce(job: Job, target: { app: string; name: string }, flags: Flags): Promise<number> {
  const signal = job.shell.interrupted();
  const id = await createCall(job, target, flags);
  try {
    const view = new CallView(job.output);
    return showEnd(job, await waitForCall(job.patientWire(), id, { view, follow: true, signal }));
  } catch (error) {
    if (!signal.aborted) throw error;
    job.output.note("Interrupted: the call is cancelled");
    return EXIT.interrupted;
  }
}

/** Deleting an app cancels its calls. That it fails must not hide how the run went. */
async function remove({ output }: Job, wire: Wire, app: string): Promise<void> {
  try {
    await send(wire, routes.deleteApp, { app });
  } catch (error) {
    output.note(
      output.tint("yellow", `warning: ${(error as Error).message}; remove it later: berth delete ${app}`),
    );
  }
}
