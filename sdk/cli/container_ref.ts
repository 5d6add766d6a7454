/** Which container a person means. */
import { routes } from "../protocol/routes.ts";
import { send, type Wire } from "../transport.ts";
import { CliError, EXIT } from "./failure.ts";

/** The id of a container by its id, or by APP/FUNCTION: of those that run the newest, else of those that ran. */
export async function containerId(wire: Wire, of: string): Promise<string> {
  const slash = of.indexOf("/");
  if (slash < 0) return of;
  const filter = { app: of.slice(0, slash), function: of.slice(slash + 1), limit: 1 };
  for (const live of ["true", "false"]) {
    const { items: [newest] } = await send(wire, routes.listContainers, { ...filter, live });
    if (newest !== undefined) return newest.id;
  }
  throw new CliError(EXIT.platform, `Cannot find a container of ${of}: none runs, and none has run`);
}
