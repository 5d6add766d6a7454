/** The pool seen from outside: nodes, pools, containers. Nodes and pools serve all workspaces, containers belong to one. */
import { listContainers } from "../scheduler/store/containers_list.ts";
import { listNodes, listPools } from "../scheduler/store/nodes_list.ts";
import type { Routes } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { decodeCursor, IdPlace, pageFrom, TimePlace } from "./cursor.ts";
import type { Handlers } from "./serve.ts";

type NodeRoutes = Pick<Routes, "listContainers" | "listNodes" | "listPools">;

export function nodeHandlers({ sql }: ApiDeps): Handlers<NodeRoutes> {
  return {
    async listContainers({ limit, cursor, ...filter }, { workspace }) {
      const place = decodeCursor(cursor, TimePlace);
      const after = place && [place[0], place[1]] as const;
      const rows = await listContainers(sql, { ...filter, workspace, after, limit: limit + 1 });
      return pageFrom(rows, limit, (last) => [Date.parse(last.createdAt), last.id]);
    },
    async listNodes({ limit, cursor }) {
      const after = decodeCursor(cursor, IdPlace)?.[0];
      return pageFrom(await listNodes(sql, { after, limit: limit + 1 }), limit, (last) => [last.id]);
    },
    async listPools({ limit, cursor }) {
      const after = decodeCursor(cursor, IdPlace)?.[0];
      return pageFrom(await listPools(sql, { after, limit: limit + 1 }), limit, (last) => [last.name]);
    },
  };
}
