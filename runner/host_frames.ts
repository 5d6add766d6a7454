/** What guests are told: the code to load, and calls. Pure. */
import { type Assignment, formatCallId } from "../sdk/protocol.ts";
import type { HeldCall } from "./calls.ts";
import type { LoadFrame } from "./frames.ts";

/** @param of `path`: the module of the function, or the folder of its bundle */
export function loadFrame(
  { id, app, spec, gang }: Assignment,
  { path, secrets, volumes, resumeMs }:
    & Pick<LoadFrame, "path">
    & { readonly [K in "secrets" | "volumes" | "resumeMs"]: LoadFrame[K] },
): string {
  const frame: LoadFrame = {
    t: "load",
    path,
    entry: spec.entry,
    kind: spec.kind,
    app,
    function: spec.name,
    container: id,
    concurrency: spec.concurrency,
    methods: Object.fromEntries(
      spec.methods.map(({ name, member, kind, stream }) => [name, { member: member ?? null, kind, stream }]),
    ),
    endpoints: Object.fromEntries(
      spec.methods.flatMap(({ name, endpoint }) => endpoint === undefined ? [] : [[endpoint.name, name]]),
    ),
    ...(gang === undefined ? {} : { gang: { rank: gang.rank, size: gang.size } }),
    ...(secrets === undefined ? {} : { secrets }),
    ...(volumes === undefined ? {} : { volumes }),
    ...(resumeMs === undefined ? {} : { resumeMs }),
  };
  return `${JSON.stringify(frame)}\n`;
}

/** One call, with its newline. */
export function callFrame({ lease, index, number, input }: HeldCall): string {
  const id = formatCallId({ batch: lease.batch, index });
  const method = JSON.stringify(lease.method);
  const master = lease.master === undefined ? "" : `,"master":${JSON.stringify(lease.master)}`;
  return `{"t":"call","c":${number},"id":"${id}","method":${method},"attempt":${lease.attempt},"input":${
    JSON.stringify(input)
  }${master}}\n`;
}
