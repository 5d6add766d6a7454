/** A runner joins: with a token of a pool for the first time, with its own credential from then on. A session begins. */
import { containersLost, containersOfOtherSessions } from "../scheduler/store/containers.ts";
import type { Sql } from "../scheduler/store/connect.ts";
import {
  type Admission,
  admissionOf,
  join as joinNode,
  joinAgain,
  type JoiningNode,
  lockSession,
} from "../scheduler/store/join.ts";
import { resumedOf, resumeSession } from "../scheduler/store/resume.ts";
import { endProvisions, provisionJoined } from "../scheduler/store/provisions.ts";
import { NOTHING, type Touched, wakeTouched } from "../scheduler/store/touched.ts";
import { PlatformError } from "../sdk/errors.ts";
import { newId } from "../sdk/ports.ts";
import type { JoinedNode, JoinNode } from "../sdk/protocol.ts";
import { hashOf, secret } from "./auth.ts";
import type { SyncDeps } from "./sync.ts";

/** A session of the runner begins. May be repeated. */
export async function join(deps: SyncDeps, request: JoinNode): Promise<JoinedNode> {
  const { sql, clock, random, wakes } = deps;
  const now = new Date(clock.now());
  const hash = hashOf(request.token);
  const touched = await sql.begin(async (tx) => {
    const admission = admit(await admissionOf(tx, { hash, session: request.session }), request, now);
    const misfit = misfitOf(admission, request);
    if (misfit !== null) return { misfit, lost: await endProvisions(tx, now, [misfit]), joined: null };
    const { known, node, pool, provision } = admission;
    const id = node ?? newId("node", deps);
    const credential = known ? request.token : secret("node", random);
    const credentialHash = hashOf(credential);
    const session = node === null ? null : await lockSession(tx, node);
    const joining = joiningNode(request, { id, pool, provision, credentialHash });
    const { lost, goesOn } = session === request.session
      ? await repeat(tx, now, joining, request)
      : await begin(tx, now, joining, request);
    if (provision !== null && !await provisionJoined(tx, { id: provision, node: id })) throw notWanted();
    const resumed = goesOn ? { resumed: await resumedOf(tx, now, id) } : {};
    return { lost, joined: { id, credential, pool, ...resumed } };
  });
  wakeTouched(wakes, touched.lost);
  wakes.wake("tick");
  if (touched.joined !== null) return touched.joined;
  throw new PlatformError("forbidden", `Cannot join: ${touched.misfit.error}`);
}

/** What became of what the node had before. */
interface Begun {
  readonly lost: Touched;
  /** The runner may go on with it. */
  readonly goesOn: boolean;
}

/** A request whose answer was lost. What the session went on with then, it goes on with now. */
async function repeat(tx: Sql, now: Date, node: JoiningNode, { resumes }: JoinNode): Promise<Begun> {
  await joinAgain(tx, now, node);
  return { lost: NOTHING, goesOn: resumes !== undefined };
}

/** Goes on with what the session before has, or is there with all that the machine has, and what it had before is gone. */
async function begin(tx: Sql, now: Date, node: JoiningNode, { resumes }: JoinNode): Promise<Begun> {
  if (resumes !== undefined && await resumeSession(tx, now, node, resumes)) {
    return { lost: NOTHING, goesOn: true };
  }
  const gone = await containersOfOtherSessions(tx, node.id, node.session);
  const lost = await containersLost(tx, now, gone, "The runner of the node was started anew");
  await joinNode(tx, now, node);
  return { lost, goesOn: false };
}

const joiningNode = (
  request: JoinNode,
  known: Pick<JoiningNode, "id" | "pool" | "provision" | "credentialHash">,
): JoiningNode => ({
  ...request,
  ...known,
  cpuMilli: Math.round(request.cpu * 1000),
  memoryMiB: Math.floor(request.memory),
  diskMiB: request.disk,
  address: request.address ?? "127.0.0.1",
  relay: request.relay ?? null,
});

/** A node of a provision that lacks GPUs of its pool's shape: it would be of no use, and asked for again for ever. */
function misfitOf(
  { provision, shape, pool }: Admission,
  { gpus }: JoinNode,
): { id: string; error: string } | null {
  if (provision === null || shape === null) return null;
  const count = (of: readonly { model: string }[], model: string) =>
    of.filter((gpu) => gpu.model.toLowerCase() === model.toLowerCase()).length;
  const short = shape.gpus.find(({ model }) => count(gpus, model) < count(shape.gpus, model));
  if (short === undefined) return null;
  const [has, needs] = [count(gpus, short.model), count(shape.gpus, short.model)];
  return {
    id: provision,
    error: `the node has ${has} × ${short.model}, and those of pool "${pool}" have ${needs}`,
  };
}

/** Lets those pass who may join. */
function admit(admission: Admission | null, { pool }: JoinNode, now: Date): Admission {
  if (admission === null) {
    throw new PlatformError(
      "unauthorized",
      "Cannot join: the token is unknown, make one with `berth pools token POOL`",
    );
  }
  const { expiresAt, poolState, pool: own, node, provisionState } = admission;
  if (expiresAt !== null && expiresAt <= now) {
    const message =
      `Cannot join: the token expired at ${expiresAt.toISOString()}, make a new one with \`berth pools token ${own}\``;
    throw new PlatformError("unauthorized", message);
  }
  if (pool !== undefined && pool !== own) {
    throw new PlatformError("invalid_request", `Cannot join pool "${pool}": the token is of pool "${own}"`, {
      field: "pool",
    });
  }
  if (poolState === "deleted") throw new PlatformError("forbidden", `Cannot join: pool "${own}" was deleted`);
  if (poolState === "draining" && node === null) {
    throw new PlatformError(
      "conflict",
      `Cannot join: pool "${own}" drains, resume it with \`berth pools resume ${own}\``,
    );
  }
  if (provisionState !== null && !WANTED.includes(provisionState)) throw notWanted();
  return admission;
}

const WANTED: readonly Admission["provisionState"][] = ["requested", "starting", "joined"];

const notWanted = () =>
  new PlatformError("forbidden", "Cannot join: the node is no longer wanted, its pool gave it back");
