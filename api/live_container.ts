/** Live: what a server or endpoint prints. */
import { listContainerLogs } from "../scheduler/store/container_logs.ts";
import { routes } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { liveLinesRoute } from "./live_lines.ts";
import { knownContainer } from "./nodes.ts";
import type { Authorize } from "./serve.ts";

export const liveContainerRoute = (deps: ApiDeps, authorize: Authorize) =>
  liveLinesRoute(deps, authorize, async (c, workspace) => {
    const { id, cursor } = routes.listContainerLogs.input.parse({ ...c.req.query(), ...c.req.param() });
    const find = () => knownContainer(deps, workspace, id);
    await find();
    return {
      id,
      wake: "container",
      cursor,
      find,
      read: (part) => listContainerLogs(deps.sql, id, part),
      isOver: ({ exitedAt }) => exitedAt !== null,
      linesAreLate: true, // they come on another way than the end
    };
  });
