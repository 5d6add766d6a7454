/** Who holds room that others could want: all units that stay, sorted once for a tick in the ways in which they are asked for. Pure. */
import type { Crew } from "./crew.ts";
import type { Unit } from "./gangs.ts";
import type { Container, QueueLevel } from "./model.ts";
import { IDLE_PRIORITY, levelAt, queueOf, REQUEST_PRIORITY } from "./order.ts";
import { type Account, accountOf, type Accounts, type Amount, heldBy } from "./share.ts";
import type { Team } from "./team.ts";

/** A unit that is to stay, as others see it who want its room. */
export interface Holder {
  readonly unit: Unit;
  readonly crew: Crew;
  readonly account: Account;
  readonly amount: Amount;
  /** `idle`: beyond what is wanted; `kept`: idle, and wanted all the same. */
  readonly state: "idle" | "kept" | "starting" | "busy";
  readonly idleSince: number;
  /** Of what it does, or starts for. */
  readonly priority: number;
}

/** The busy holders of a function, the oldest first. */
export interface Shift {
  readonly crew: Crew;
  readonly account: Account;
  readonly queue: readonly QueueLevel[];
  readonly busy: readonly Holder[];
}

export class Holders {
  /** The longest idle first. */
  readonly #idle: readonly Holder[];
  readonly #byLoss: readonly Holder[];
  readonly #shifts: readonly Shift[];
  #movable: ReadonlyMap<Holder["state"], readonly Holder[]> | null = null;
  readonly #gone = new Set<Unit>();

  constructor(teams: readonly Team[], accounts: Accounts, leaving: readonly Container[]) {
    const going = new Set(leaving.map(({ id }) => id));
    const all = teams.flatMap((team) => holdersOf(team, accountOf(team.crew.fn, accounts)))
      .filter(({ unit }) => !going.has(unit.whole.id));
    this.#idle = all.filter((one) => one.state === "idle").sort((a, b) => a.idleSince - b.idleSince);
    this.#byLoss = inOrderOfLoss(all);
    this.#shifts = shiftsOf(all);
  }

  remove({ unit }: Holder): void {
    this.#gone.add(unit);
  }

  has = (unit: Unit): boolean => !this.#gone.has(unit);

  *idle(): Generator<Holder> {
    for (const one of this.#idle) if (this.has(one.unit)) yield one;
  }

  /** Those that lose the least first: the least important, then those of workspaces that borrow, then the youngest. */
  *byLoss(): Generator<Holder> {
    for (const one of this.#byLoss) if (this.has(one.unit)) yield one;
  }

  /** Those that could move: idle ones that are kept, and work that may be cut short. */
  movable(state: "kept" | "busy"): readonly Holder[] {
    this.#movable ??= Map.groupBy(this.#byLoss.filter(mayMove), (one) => one.state);
    return (this.#movable.get(state) ?? []).filter(({ unit }) => this.has(unit));
  }

  /** The largest first. */
  get shifts(): readonly Shift[] {
    if (this.#gone.size === 0) return this.#shifts;
    return this.#shifts.map((shift) => ({ ...shift, busy: shift.busy.filter(({ unit }) => this.has(unit)) }));
  }
}

function holdersOf({ crew, staff }: Team, account: Account): Holder[] {
  if (staff.length === 0) return [];
  const idleSince = new Map(crew.spare.map((one) => [one.container.id, one.idleSince]));
  const busy = new Set(
    crew.idle.filter((one) => one.idleSince === null).map(({ container }) => container.id),
  );
  const queue = queueOf(crew.fn), { targetConcurrency } = crew.fn.scale;
  const importance = (nth: number) => levelAt(queue, nth * targetConcurrency)?.priority ?? IDLE_PRIORITY;
  let starting = 0;
  return staff.map((unit): Holder => {
    const { whole, staying } = unit;
    const since = idleSince.get(whole.id);
    const holds = { unit, crew, account, amount: heldByAll(staying), idleSince: since ?? 0 };
    if (since !== undefined) return { ...holds, state: "idle", priority: IDLE_PRIORITY };
    if (busy.has(whole.id)) return { ...holds, state: "busy", priority: whole.priority ?? REQUEST_PRIORITY };
    if (whole.observed === "ready") return { ...holds, state: "kept", priority: importance(0) };
    return { ...holds, state: "starting", priority: importance(starting++) };
  });
}

function heldByAll(members: readonly Container[]): Amount {
  let gpuMilli = 0, cpuMilli = 0;
  for (const one of members) {
    gpuMilli += heldBy(one).gpuMilli;
    cpuMilli += one.cpuMilli;
  }
  return { gpuMilli, cpuMilli };
}

const mayMove = ({ unit, state, priority, crew: { fn } }: Holder): boolean =>
  unit.gang === null && (state === "kept" ? priority === IDLE_PRIORITY : state === "busy" && fn.preemptible);

function inOrderOfLoss(holders: readonly Holder[]): Holder[] {
  const borrowers = new Set([...new Set(holders.map((one) => one.account))].filter(isBorrower));
  return holders.toSorted((a, b) =>
    a.priority - b.priority ||
    Number(borrowers.has(b.account)) - Number(borrowers.has(a.account)) ||
    b.unit.whole.createdAt - a.unit.whole.createdAt
  );
}

const isBorrower = ({ borrowed }: Account): boolean => borrowed.gpuMilli + borrowed.cpuMilli > 0;

function shiftsOf(holders: readonly Holder[]): Shift[] {
  const byCrew = Map.groupBy(holders.filter((one) => one.state === "busy"), (one) => one.crew);
  return [...byCrew].map(([crew, busy]) => ({
    crew,
    account: busy[0]!.account,
    queue: queueOf(crew.fn),
    busy: busy.sort((a, b) => a.unit.whole.createdAt - b.unit.whole.createdAt),
  })).sort((a, b) => b.busy.length - a.busy.length);
}
