/** What is free on the nodes, as a value: placing a container makes another room. Pure. */
import type { Container, Need, Node } from "./model.ts";
import type { Candidate } from "./rank.ts";

type Nodes = ReadonlyMap<string, Node>;

/** What is free on each node. There is never more `free` than `soon`. */
export interface Room {
  /** Now. */
  readonly free: Nodes;
  /** Once what is leaving has left. */
  readonly soon: Nodes;
}

export function roomOf(nodes: readonly Node[], leaving: readonly Container[]): Room {
  const free = new Map(nodes.map((node) => [node.id, node]));
  return { free, soon: leaving.reduce(withReturned, free) };
}

/** After a container was placed. */
export const withPlaced = ({ free, soon }: Room, need: Need, found: Candidate): Room => ({
  free: withTaken(free, need, found),
  soon: withTaken(soon, need, found),
});

/** Takes of what is free soon, and of what is free now no more than then remains. */
export function withReserved(room: Room, need: Need, found: Candidate): Room {
  const soon = withTaken(room.soon, need, found);
  const [now, then] = [room.free.get(found.node.id)!, soon.get(found.node.id)!];
  return {
    soon,
    free: new Map(room.free).set(now.id, {
      ...now,
      cpuMilliFree: Math.min(now.cpuMilliFree, then.cpuMilliFree),
      memoryMiBFree: Math.min(now.memoryMiBFree, then.memoryMiBFree),
      gpus: now.gpus.map((gpu, i) => ({
        ...gpu,
        milliFree: Math.min(gpu.milliFree, then.gpus[i]!.milliFree),
      })),
    }),
  };
}

const withTaken = (nodes: Nodes, need: Need, { node, gpus }: Candidate): Nodes =>
  changed(nodes, node.id, -1, { ...need, gpus });

/** After a container has left. */
export const withReturned = (nodes: Nodes, container: Container): Nodes =>
  changed(nodes, container.node, 1, container);

type Amount = Pick<Container, "cpuMilli" | "memoryMiB" | "gpus">;

function changed(nodes: Nodes, id: string, sign: 1 | -1, amount: Amount): Nodes {
  const node = nodes.get(id);
  if (node === undefined) return nodes;
  const milli = new Map(amount.gpus.map((share) => [share.index, share.milli]));
  return new Map(nodes).set(id, {
    ...node,
    cpuMilliFree: node.cpuMilliFree + sign * amount.cpuMilli,
    memoryMiBFree: node.memoryMiBFree + sign * amount.memoryMiB,
    gpus: node.gpus.map((gpu) => ({ ...gpu, milliFree: gpu.milliFree + sign * (milli.get(gpu.index) ?? 0) })),
  });
}
