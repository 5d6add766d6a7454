/** The invariants that a plan must keep, each by name. Pure. A plan that would break one is not committed. */
import { broken, sum, type Violation } from "./check.ts";
import type { Container, Node, Plan, Snapshot } from "./model.ts";
import { desiredMachine, next } from "./states.ts";

/** Invariants that a plan would break. */
export function planViolations({ nodes, containers, functions }: Snapshot, plan: Plan): Violation[] {
  const fns = new Map(functions.map((fn) => [fn.id, fn]));
  const known = new Map(containers.map((container) => [container.id, container]));
  const leaving = new Set([...plan.end.map((ending) => ending.container), ...plan.lostContainers]);
  const staff = containers.filter((one) => one.desired === "run" && !leaving.has(one.id));
  return [
    ...nodes.flatMap((node) => overGiven(node, plan)),
    ...plan.start.flatMap(({ id, node, session }) => [
      ...broken(
        "a container starts where a runner is",
        isUp(nodes, plan, node, session),
        () => `${id} on ${node}`,
      ),
      ...broken(
        "an id is new",
        !known.has(id) && plan.start.filter((one) => one.id === id).length === 1,
        () => id,
      ),
    ]),
    ...[...fns.values()].flatMap(({ id, deployment, scale }) => {
      const starting = plan.start.filter((one) => one.functionId === id).length;
      const n = starting +
        staff.filter((one) => one.functionId === id && one.deployment === deployment).length;
      return broken(
        "scale.max holds",
        starting === 0 || n <= scale.max,
        () => `function ${id} would have ${n} of ${scale.max}`,
      );
    }),
    ...plan.end.flatMap(({ container, desired }) =>
      broken(
        "a container is let down once and in order",
        canEnd(known.get(container), desired),
        () => `${container} → ${desired}`,
      )
    ),
  ];
}

const canEnd = (container: Container | undefined, event: "drain" | "stop"): boolean =>
  container !== undefined && next(desiredMachine, container.desired, event) !== null;

const isUp = (nodes: readonly Node[], { lostNodes }: Plan, id: string, session: string): boolean =>
  nodes.some((node) =>
    node.id === id && node.session === session && node.state === "up" && !lostNodes.includes(id)
  );

function overGiven(node: Node, { start }: Plan): Violation[] {
  const here = start.filter((one) => one.node === node.id);
  const given = (index: number) =>
    sum(here.flatMap((one) => one.gpus).filter((share) => share.index === index).map((share) => share.milli));
  const shares = here.flatMap((one) => one.gpus);
  return [
    ...broken(
      "no gpu is given twice",
      node.gpus.every((gpu) => given(gpu.index) <= gpu.milliFree),
      () => node.id,
    ),
    ...broken(
      "a gpu exists",
      shares.every(({ index }) => node.gpus.some((gpu) => gpu.index === index)),
      () => node.id,
    ),
    ...broken(
      "cpu is not over-given",
      sum(here.map((one) => one.cpuMilli)) <= node.cpuMilliFree || here.length === 0,
      () => node.id,
    ),
    ...broken(
      "memory is not over-given",
      sum(here.map((one) => one.memoryMiB)) <= node.memoryMiBFree || here.length === 0,
      () => node.id,
    ),
  ];
}
