/** Where calls are, and how their attempts follow one another: the invariants of a batch, each by name. Pure. */
import { broken, type Range, type Violation, type World, type WorldLease } from "./check.ts";

/** Each call lies in one ready range, in one open lease, or has one result; and its attempts are counted without a gap. */
export function callViolations({ batches, ready, leases, results, over }: World): Violation[] {
  const [readyOf, leasesOf, resultsOf] = [byBatch(ready), byBatch(leases), byBatch(results)];
  const gone = new Map(over.map(({ lease, index, back }) => [`${lease} ${index}`, back]));
  return batches.flatMap(({ id, size }) =>
    batchViolations({
      id,
      size,
      ready: readyOf.get(id) ?? [],
      leases: leasesOf.get(id) ?? [],
      results: resultsOf.get(id) ?? [],
      back: (lease, index) => gone.get(`${lease} ${index}`),
    })
  );
}

interface Batch extends Pick<World, "ready" | "leases" | "results"> {
  readonly id: number;
  readonly size: number;
  /** Whether a call that a lease no longer has was given back unstarted; undefined when the lease still has it. */
  back(lease: number, index: number): boolean | undefined;
}

function batchViolations(batch: Batch): Violation[] {
  const { id, size, ready, results } = batch;
  const queued = count(size, ready);
  const ended = count(size, results.map(one));
  const held = heldBy(batch);
  const isElsewhere = (lease: number, i: number) =>
    queued[i]! + ended[i]! > 0 || batch.back(lease, i) !== undefined;
  const open = openLeases(batch, held, isElsewhere);
  const running = count(size, open.flatMap(({ indexes }) => indexes.map((index) => one({ index }))));
  return [
    ...Array.from(
      { length: size },
      (_, i) => placesViolations(`call ${i} of batch ${id}`, queued[i]!, running[i]!, ended[i]!),
    ).flat(),
    ...open.flatMap(({ lease: { id, remaining }, indexes }) =>
      broken(
        "a lease counts what remains",
        remaining === indexes.length,
        () => `lease ${id}: remaining ${remaining}, unreported ${indexes.length}`,
      )
    ),
    ...held.flatMap((leases, i) => attemptViolations(batch, i, leases)),
    ...results.flatMap(({ index, lease }) => fenceViolations(batch, index, lease, held[index] ?? [])),
  ];
}

const placesViolations = (call: string, queued: number, running: number, ended: number): Violation[] => [
  ...broken(
    "no call is in two places",
    queued + running + ended <= 1,
    () => `${call}: queued ${queued}, running ${running}, ended ${ended}`,
  ),
  ...broken("no call is lost", queued + running + ended >= 1, () => `${call} is nowhere`),
];

/** A call that was given back goes on with the same attempt, any other with the next one. */
function attemptViolations(
  { id, ready, back }: Batch,
  i: number,
  leases: readonly WorldLease[],
): Violation[] {
  const waits = ready.find(({ lo, hi }) => lo <= i && i < hi);
  const follow = [...leases.map(({ attempt }) => attempt), ...(waits === undefined ? [] : [waits.attempt])];
  return follow.flatMap((attempt, k) => {
    const before = leases[k - 1];
    const due = before === undefined ? 1 : before.attempt + (back(before.id, i) ? 0 : 1);
    return broken(
      "attempts are counted without a gap",
      attempt === due,
      () => `call ${i} of batch ${id}: attempts ${follow.join(", ")}`,
    );
  });
}

/** What an earlier attempt says counts no more. */
const fenceViolations = (
  { id }: Batch,
  i: number,
  lease: number | null,
  leases: readonly WorldLease[],
): Violation[] =>
  broken(
    "a result is that of the last attempt",
    lease === null || lease === leases.at(-1)?.id,
    () => `call ${i} of batch ${id}: result of lease ${lease}, last leased under ${leases.at(-1)?.id}`,
  );

/** The open leases of a batch, each with the calls that it still has: not elsewhere, and not given to a later lease. */
function openLeases(
  { leases }: Batch,
  held: readonly (readonly WorldLease[])[],
  isElsewhere: (lease: number, index: number) => boolean,
) {
  return leases.filter((lease) => lease.remaining > 0).map((lease) => ({
    lease,
    indexes: indexesOf(lease).filter((i) => held[i]?.at(-1)?.id === lease.id && !isElsewhere(lease.id, i)),
  }));
}

/** The leases that each call has been in, the oldest first. */
function heldBy({ size, leases }: Batch): WorldLease[][] {
  const held = Array.from({ length: size }, (): WorldLease[] => []);
  for (const lease of leases.toSorted((a, b) => a.id - b.id)) {
    for (const i of indexesOf(lease)) held[i]?.push(lease);
  }
  return held;
}

const one = ({ index }: { index: number }) => ({ lo: index, hi: index + 1 });

const indexesOf = ({ lo, hi }: { lo: number; hi: number }): number[] =>
  Array.from({ length: hi - lo }, (_, i) => lo + i);

const byBatch = <T extends { batch: number }>(all: readonly T[]): Map<number, T[]> =>
  Map.groupBy(all, (one) => one.batch);

/** How many of the ranges hold each index below `size`. */
function count(size: number, ranges: readonly Pick<Range, "lo" | "hi">[]): number[] {
  const counts = new Array<number>(size).fill(0);
  for (const { lo, hi } of ranges) {
    for (let i = lo; i < Math.min(hi, size); i++) counts[i]!++;
  }
  return counts;
}
