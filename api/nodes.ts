/** The machines seen from outside, and what operators do with them. Nodes serve all workspaces, containers belong to one. */
import { listContainerLogs } from "../scheduler/store/container_logs.ts";
import { findContainer, listContainers } from "../scheduler/store/containers_list.ts";
import { discard } from "../scheduler/store/kept.ts";
import { cordonNode, forgetNode, moveNode, takeGpuOut } from "../scheduler/store/nodes_change.ts";
import { listNodes, nodesCalled } from "../scheduler/store/nodes_list.ts";
import { PlatformError } from "../sdk/errors.ts";
import type { Container, Node, Routes } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { needOperator } from "./auth.ts";
import { decodeCursor, IdPlace, pageFrom, SeqPlace, TimePlace } from "./cursor.ts";
import type { Context, Handlers } from "./serve.ts";

type NodeRoutes = Pick<
  Routes,
  | "listContainers"
  | "getContainer"
  | "deleteContainer"
  | "listContainerLogs"
  | "listNodes"
  | "getNode"
  | "cordonNode"
  | "uncordonNode"
  | "drainNode"
  | "resumeNode"
  | "deleteNode"
  | "setGpu"
>;

export function nodeHandlers(deps: ApiDeps): Handlers<NodeRoutes> {
  const { sql } = deps;
  /** Does something to one node, tells those who should know, and answers how it is then. */
  const change = async (
    called: string,
    caller: Context,
    act: (node: Node) => Promise<void>,
  ): Promise<Node> => {
    needOperator(caller);
    const node = await knownNode(deps, called);
    await act(node);
    deps.wakes.wake("node", node.id);
    deps.wakes.wake("tick");
    return await knownNode(deps, node.id);
  };
  return {
    async listContainers({ limit, cursor, ...filter }, { workspace }) {
      const place = decodeCursor(cursor, TimePlace);
      const after = place && [place[0], place[1]] as const;
      const rows = await listContainers(sql, { ...filter, workspace, after, limit: limit + 1 });
      return pageFrom(rows, limit, (last) => [Date.parse(last.createdAt), last.id]);
    },
    getContainer: ({ id }, { workspace }) => knownContainer(deps, workspace, id),
    async deleteContainer({ id }, { workspace }) {
      const container = await knownContainer(deps, workspace, id);
      const now = new Date(deps.clock.now());
      const node = await sql.begin((tx) => discard(tx, now, { workspace, id }));
      if (node === undefined) {
        const why = container.exitedAt === null ? `it is ${container.observed}` : "nothing of it is kept";
        const message =
          `Cannot remove container "${id}": ${why}, only what is kept of one that failed can be removed`;
        throw new PlatformError("conflict", message, { field: "id" });
      }
      deps.wakes.wake("node", node);
      return await knownContainer(deps, workspace, id);
    },
    async listContainerLogs({ id, limit, cursor }, { workspace }) {
      await knownContainer(deps, workspace, id);
      const after = decodeCursor(cursor, SeqPlace)?.[0];
      const rows = await listContainerLogs(sql, id, { after, limit: limit + 1 });
      return pageFrom(rows, limit, (last) => [last.seq]);
    },
    async listNodes({ limit, cursor, ...filter }) {
      const after = decodeCursor(cursor, IdPlace)?.[0];
      return pageFrom(
        await listNodes(sql, { ...filter, after, limit: limit + 1 }),
        limit,
        (last) => [last.id],
      );
    },
    getNode: ({ node }) => knownNode(deps, node),
    cordonNode: ({ node }, caller) => change(node, caller, ({ id }) => cordonNode(sql, id, true)),
    uncordonNode: ({ node }, caller) => change(node, caller, ({ id }) => cordonNode(sql, id, false)),
    drainNode: ({ node }, caller) => change(node, caller, ({ id }) => moveNode(sql, id, "drain")),
    resumeNode: ({ node }, caller) => change(node, caller, ({ id }) => moveNode(sql, id, "resume")),
    deleteNode: ({ node }, caller) =>
      change(node, caller, async ({ id, state }) => {
        if (await forgetNode(sql, id)) return;
        const message = `Cannot forget node "${node}": it is ${state}, stop its runner first`;
        throw new PlatformError("conflict", message, { field: "node" });
      }),
    setGpu: ({ node, index, out, reason }, caller) =>
      change(node, caller, async ({ id }) => {
        if (await takeGpuOut(sql, { node: id, index, reason: out ? reason : null })) return;
        const message = `Cannot find GPU ${index} of node "${node}": it has none of this index`;
        throw new PlatformError("not_found", message, { field: "index" });
      }),
  };
}

/** A container of a workspace, or an error that says that there is none. */
export async function knownContainer({ sql }: ApiDeps, workspace: string, id: string): Promise<Container> {
  const container = await findContainer(sql, { workspace, id });
  if (container !== undefined) return container;
  const message = `Cannot find container "${id}": there is none in this workspace, see \`berth ps\``;
  throw new PlatformError("not_found", message, { field: "id" });
}

/** The node that an id or a name means. */
export async function knownNode({ sql }: ApiDeps, called: string): Promise<Node> {
  const found = await nodesCalled(sql, called);
  if (found.length === 1) return found[0]!;
  const message = found.length === 0
    ? `Cannot find node "${called}": there is none of this name or id, see \`berth nodes\``
    : `Cannot tell which node "${called}" means: ${
      found.map(({ id }) => id).join(", ")
    } have this name, say its id`;
  throw new PlatformError(found.length === 0 ? "not_found" : "conflict", message, { field: "node" });
}
