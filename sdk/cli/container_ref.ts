/** Which container a person means. */
import { LIMITS } from "../protocol/limits.ts";
import { routes } from "../protocol/routes.ts";
import { send, type Wire } from "../transport.ts";
import { CliError, EXIT } from "./failure.ts";

/** The id of a container by its id, or by APP/FUNCTION: of those that run the newest, else of those that ran. */
export async function containerId(wire: Wire, of: string): Promise<string> {
  if (!of.includes("/")) return of;
  const id = await newest(wire, of, { live: "true" }) ?? await newest(wire, of, { live: "false" });
  if (id !== undefined) return id;
  throw new CliError(EXIT.platform, `Cannot find a container of ${of}: none runs, and none has run`);
}

/** The id of a container that runs, or else is kept: by its id, by the call that it runs or ran, or by APP/FUNCTION. */
export async function runningContainer(wire: Wire, of: string): Promise<string> {
  if (of.startsWith("call_")) return await containerOfCall(wire, of);
  if (!of.includes("/")) return of;
  const id = await newest(wire, of, { live: "true" }) ?? await newest(wire, of, { present: "true" });
  if (id !== undefined) return id;
  throw new CliError(EXIT.platform, `Cannot find a container of ${of}: none runs`);
}

async function containerOfCall(wire: Wire, id: string): Promise<string> {
  const { items } = await send(wire, routes.listAttempts, { id, limit: LIMITS.pageItems });
  const running = items.find(({ state }) => state === "running");
  if (running !== undefined) return running.container;
  const last = items.at(-1)?.container;
  if (last !== undefined && await isKept(wire, last)) return last;
  throw new CliError(EXIT.platform, `Cannot find the container of ${id}: the call does not run`);
}

const isKept = async (wire: Wire, id: string): Promise<boolean> =>
  (await send(wire, routes.getContainer, { id })).keptUntil !== null;

type Which = { readonly live: "true" | "false" } | { readonly present: "true" };

async function newest(wire: Wire, of: string, which: Which): Promise<string | undefined> {
  const slash = of.indexOf("/");
  const filter = { app: of.slice(0, slash), function: of.slice(slash + 1), limit: 1, ...which };
  return (await send(wire, routes.listContainers, filter)).items[0]?.id;
}
