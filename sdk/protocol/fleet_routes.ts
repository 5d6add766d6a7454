/** Routes of the machines: pools and nodes. Reading is open to every key; changing them is for operators. */
import { z } from "zod";
import { Node, NodePage } from "./nodes.ts";
import {
  CreateJoinToken,
  CreatePool,
  JoinToken,
  Pool,
  PoolPage,
  ProvisionPage,
  UpdatePool,
} from "./pools.ts";
import { Name, Page } from "./primitives.ts";
import { route } from "./route.ts";

const ByPool = z.object({ pool: Name });
/** By id or, when only one node has it, by name. */
const ByNode = z.object({ node: z.string().min(1).max(128) });

export const fleetRoutes = {
  listPools: route("GET", "/v1/pools", "read", "Pools", Page, PoolPage),
  getPool: route("GET", "/v1/pools/:pool", "read", "One pool", ByPool, Pool),
  createPool: route("POST", "/v1/pools", "admin", "Make a pool", CreatePool, Pool, 201),
  updatePool: route("POST", "/v1/pools/:pool", "admin", "Change settings of a pool", UpdatePool, Pool),
  drainPool: route(
    "POST",
    "/v1/pools/:pool/drain",
    "admin",
    "Drain a pool: it asks for no more nodes, and those it has end what they do and go",
    ByPool,
    Pool,
  ),
  resumePool: route("POST", "/v1/pools/:pool/resume", "admin", "Let a pool that drains go on", ByPool, Pool),
  deletePool: route(
    "DELETE",
    "/v1/pools/:pool",
    "admin",
    "Delete a pool that has no nodes",
    ByPool,
    z.object({ pool: Name }),
  ),
  listProvisions: route(
    "GET",
    "/v1/pools/:pool/provisions",
    "read",
    "Nodes that a pool's provider was asked for, newest first",
    ByPool.extend(Page.shape),
    ProvisionPage,
  ),
  createJoinToken: route(
    "POST",
    "/v1/pools/:pool/tokens",
    "admin",
    "A token with which machines join a pool",
    CreateJoinToken,
    JoinToken,
    201,
  ),
  listNodes: route(
    "GET",
    "/v1/nodes",
    "read",
    "Nodes; with `left` also those that have left for good",
    Page.extend({ pool: Name.optional(), left: z.stringbool().optional() }),
    NodePage,
  ),
  getNode: route("GET", "/v1/nodes/:node", "read", "One node", ByNode, Node),
  cordonNode: route(
    "POST",
    "/v1/nodes/:node/cordon",
    "admin",
    "Place nothing new on a node; what runs there goes on",
    ByNode,
    Node,
  ),
  uncordonNode: route("POST", "/v1/nodes/:node/uncordon", "admin", "Use a cordoned node again", ByNode, Node),
  drainNode: route(
    "POST",
    "/v1/nodes/:node/drain",
    "admin",
    "Drain a node: its containers end what they do and go",
    ByNode,
    Node,
  ),
  resumeNode: route("POST", "/v1/nodes/:node/resume", "admin", "Use a drained node again", ByNode, Node),
  deleteNode: route("DELETE", "/v1/nodes/:node", "admin", "Forget a node that is lost", ByNode, Node),
  setGpu: route(
    "POST",
    "/v1/nodes/:node/gpus/:index",
    "admin",
    "Take a GPU out of service, or put it back",
    ByNode.extend({
      index: z.coerce.number().int().min(0).max(1_023),
      out: z.boolean(),
      reason: z.string().max(512).default("taken out by hand"),
    }),
    Node,
  ),
} as const;
