/** Live: what the build of an image prints. */
import { listBuildLogs } from "../scheduler/store/builds.ts";
import { routes } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { knownImage } from "./images.ts";
import { liveLinesRoute } from "./live_lines.ts";
import type { Authorize } from "./serve.ts";

export const liveImageRoute = (deps: ApiDeps, authorize: Authorize) =>
  liveLinesRoute(deps, authorize, async (c, workspace) => {
    const { image, cursor } = routes.listImageLogs.input.parse({ ...c.req.query(), ...c.req.param() });
    const { id } = await knownImage(deps, workspace, image);
    return {
      id,
      wake: "image",
      cursor,
      find: () => knownImage(deps, workspace, id),
      read: (part) => listBuildLogs(deps.sql, id, part),
      isOver: ({ state }) => state !== "queued" && state !== "building",
      linesAreLate: false,
    };
  });
