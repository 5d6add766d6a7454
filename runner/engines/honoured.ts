/** What a function may ask for that takes a container. */
import type { FunctionSpec } from "../../sdk/protocol.ts";
import { StartError } from "../engine.ts";

/** @throws StartError when a plain process cannot be what the function asks for */
export function refuseUnhonoured({ body, image, egress }: FunctionSpec): void {
  if (image !== undefined) {
    throw new StartError(`Cannot run image ${image.ref}: this node has no container engine`);
  }
  if (egress !== "open" && body !== "ts") {
    const what = body === "python" ? "a Python function" : "a server";
    throw new StartError(`Cannot restrict the egress of ${what}: it takes a node with a container engine`);
  }
}
