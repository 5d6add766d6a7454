/** What ranks of gangs have of calls: the invariants, each by name. Pure. */
import { broken, type Violation, type World } from "./check.ts";

/**
 * A container has one open part at a time; and a gang's lease that is open has one, or nobody would ever decide how its attempt ends.
 * The other way round an open part may outlive its lease: it is being told to end. And it may outlive its container, whose runner
 * has yet to say how it ended.
 */
export function partViolations({ parts, leases, containers }: World): Violation[] {
  const open = parts.filter((part) => part.open);
  const known = new Set(containers.map(({ id }) => id));
  const ofGangs = new Set(parts.map(({ lease }) => lease));
  const atWork = new Set(open.map(({ lease }) => lease));
  return [
    ...open.flatMap(({ lease, rank, container }) =>
      broken(
        "an open part is of a known container",
        known.has(container),
        () => `rank ${rank} of lease ${lease} is with ${container}`,
      )
    ),
    ...[...Map.groupBy(open, ({ container }) => container)].flatMap(([container, had]) =>
      broken(
        "a rank has one part at a time",
        had.length === 1,
        () => `${container} has parts of leases ${had.map(({ lease }) => lease)}`,
      )
    ),
    ...leases.filter(({ id, remaining }) => remaining > 0 && ofGangs.has(id)).flatMap(({ id }) =>
      broken("somebody decides the attempt of a gang", atWork.has(id), () => `no rank has lease ${id}`)
    ),
  ];
}
