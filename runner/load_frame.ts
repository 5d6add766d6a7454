/** The frame that tells a guest what to load. Pure. */
import type { Assignment } from "../sdk/protocol.ts";
import type { LoadFrame } from "./frames.ts";

/** @param of `path`: the module of the function, or the folder of its bundle */
export function loadFrame(
  { id, app, spec, gang }: Assignment,
  { path, secrets, volumes }:
    & Pick<LoadFrame, "path">
    & { readonly [K in "secrets" | "volumes"]: LoadFrame[K] },
): LoadFrame {
  return {
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
  };
}
