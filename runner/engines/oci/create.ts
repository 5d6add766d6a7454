/** Making a container: in Podman's own words where it takes the shared ones and forgets them. Those are the same for both engines. */
import { StartError } from "../../engine.ts";
import type { OciClient } from "./client.ts";
import { libpodBody } from "./libpod.ts";
import { createBody, type Sandbox } from "./sandbox.ts";

/** @returns its id */
export async function create(client: OciClient, name: string, sandbox: Sandbox): Promise<string> {
  const { runtime, gpus: { way, names } } = sandbox;
  const body = createBody(sandbox);
  if (way !== "libpod" || names.length === 0 && runtime === undefined) return await client.create(name, body);
  const id = await client.createLibpod(libpodBody(name, body, names));
  const actual = await client.runtimeOf(id);
  if (runtime === undefined || actual === runtime) return id;
  await client.remove(id);
  throw new StartError(
    `Cannot start the container: Podman ignored the runtime "${runtime}" and would take "${actual}"; it must be its own, by "runtime" in containers.conf`,
  );
}
