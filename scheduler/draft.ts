/** The part of a plan that is in the making while claims are served: what starts, what leaves, and what is kept for whom. Pure but for itself. */
import { type Asking, startReason } from "./claims.ts";
import { type Holder, Holders } from "./holders.ts";
import { leavesAt } from "./outlook.ts";
import type { Unit } from "./gangs.ts";
import type { Container, Ending, Fn, NewGang, Start } from "./model.ts";
import type { Unplaced } from "./pools.ts";
import { endingsOf, type Giver } from "./preempt.ts";
import type { Obstacle } from "./reasons.ts";
import type { Place } from "./place.ts";
import type { Ask } from "./rank.ts";
import type { Room } from "./room.ts";
import { Searches } from "./searches.ts";
import { type Accounts, counted, heldBy } from "./share.ts";
import type { Team } from "./team.ts";

/** Makes the id of something new. */
export type NewId = (prefix: "ctr" | "gang" | "prov") => string;

/** What claims are served from. */
export interface Field {
  readonly teams: readonly Team[];
  /** Makes the room; only when there is a claim. */
  readonly room: () => Room;
  readonly accounts: Accounts;
  /** Containers on their way out. */
  readonly leaving: readonly Container[];
  readonly fns: ReadonlyMap<number, Fn>;
  readonly ports: Iterator<number, never>;
  readonly now: number;
  readonly newId: NewId;
}

export interface Staffing {
  readonly gangs: readonly NewGang[];
  readonly start: readonly Start[];
  /** Containers that give way or move. */
  readonly end: readonly Ending[];
  /** Containers or gangs that start, by function. */
  readonly starting: ReadonlyMap<number, number>;
  /** What keeps a function from containers it lacks. */
  readonly obstacles: ReadonlyMap<number, Obstacle>;
  /** What has no room, the most urgent first. */
  readonly unplaced: readonly Unplaced[];
  /** Gangs that have no room for ranks they lost. */
  readonly stuck: readonly Unit[];
  /** Nodes that get containers, or on which room is kept for some. */
  readonly occupied: ReadonlySet<string>;
}

/** Places that a claim gets once some have left. */
interface Granted {
  readonly evicted: readonly Giver[];
  readonly places: readonly Place[];
}

export class Draft {
  readonly field: Field;
  readonly searches: Searches;
  /** Containers that go elsewhere. */
  moves = 0;
  readonly #gangs: NewGang[] = [];
  readonly #start: Start[] = [];
  readonly #end: Ending[] = [];
  readonly #starting = new Map<number, number>();
  readonly #obstacles = new Map<number, Obstacle>();
  readonly #unplaced = new Map<Fn, number>();
  readonly #stuck: Unit[] = [];
  readonly #occupied = new Set<string>();
  readonly #leavingOn: Map<string, Container[]>;
  readonly #reasons = new Map<readonly Ask[], Map<number, string>>();
  #room: Room | null = null;
  #holders: Holders | null = null;

  /** @param lacking how many functions lack something */
  constructor(field: Field, lacking: number) {
    this.field = field;
    this.searches = new Searches(lacking, field.now);
    this.#leavingOn = Map.groupBy(field.leaving, (one) => one.node);
  }

  get staffing(): Staffing {
    return {
      gangs: this.#gangs,
      start: this.#start,
      end: this.#end,
      starting: this.#starting,
      obstacles: this.#obstacles,
      unplaced: [...this.#unplaced].map(([fn, count]) => ({ fn, count })),
      occupied: this.#occupied,
      stuck: this.#stuck.filter((unit) => this.#holders?.has(unit) ?? true),
    };
  }

  /** Looked up only when something does not fit. */
  get room(): Room {
    return this.#room ??= this.field.room();
  }

  get holders(): Holders {
    const { teams, accounts, leaving } = this.field;
    return this.#holders ??= new Holders(teams, accounts, leaving);
  }

  /** Containers start on these places. */
  begin(claim: Asking, places: readonly Place[], reason = startReason(claim)): void {
    const { fn, broken, account } = claim;
    const gang = fn.nodes === 1 ? null : broken?.gang?.id ?? this.#form(fn);
    places.forEach(({ node, gpus }, i) => {
      this.#occupied.add(node.id);
      const rank = broken?.missing[i] ?? i;
      this.#start.push({
        ...this.#terms(fn),
        node: node.id,
        session: node.session,
        gpus,
        gang,
        rank,
        reason,
      });
      account.take(heldBy({ gpus, cpuMilli: fn.need.cpuMilli }));
    });
    this.#starting.set(fn.id, (this.#starting.get(fn.id) ?? 0) + 1);
  }

  #form(fn: Fn): string {
    const { newId, ports } = this.field;
    const id = newId("gang");
    this.#gangs.push({ id, functionId: fn.id, size: fn.nodes, port: ports.next().value });
    return id;
  }

  #terms = ({ id, deployment, need: { cpuMilli, memoryMiB, diskMiB, port, volumes } }: Fn) => ({
    id: this.field.newId("ctr"),
    functionId: id,
    deployment,
    cpuMilli,
    memoryMiB,
    diskMiB,
    port,
    ...(volumes.length === 0 ? {} : { volumes: volumes.flatMap(({ id }) => id ?? []) }),
  });

  /** A unit leaves; the room expects that already. */
  letGo(giver: Giver): void {
    const { now } = this.field, { holder } = giver;
    this.holders.remove(holder);
    holder.account.part(holder.amount);
    const endings = endingsOf(giver, now);
    this.#end.push(...endings);
    holder.unit.staying.forEach((one, i) => {
      const { desired, preemptAt = null } = endings[i]!;
      const leaving = { ...one, desired, preemptAt, drainingAt: now };
      this.#leavingOn.set(one.node, [...this.#leavingOn.get(one.node) ?? [], leaving]);
    });
  }

  /** Others leave, and the claim gets their room. */
  giveWay(claim: Asking, { evicted, places }: Granted): void {
    for (const giver of evicted) this.letGo(giver);
    this.await(claim, places, evicted.some(({ lent }) => lent) ? null : giving(evicted));
  }

  /** A unit goes to another place: another starts there, and it leaves. */
  move(holder: Holder, { node, gpus }: Place, claim: Asking): void {
    const { unit, crew: { fn }, account, state } = holder;
    const why = `to make room for ${claim.fn.app}/${claim.fn.name}`;
    const at = { node: node.id, session: node.session, gpus, gang: null, rank: 0 };
    this.#start.push({ ...this.#terms(fn), ...at, reason: `moves from ${unit.whole.node} ${why}` });
    this.#occupied.add(node.id);
    account.take(heldBy({ gpus, cpuMilli: fn.need.cpuMilli }));
    const how = state === "busy" ? "preempt" : "drain";
    this.letGo({ holder, how, reason: `moves to ${node.id} ${why}`, lent: false });
    this.moves++;
  }

  /** The claim gets these places once what leaves has left. */
  await(claim: Asking, places: readonly Place[], reason: string | null = null): void {
    const { fns, now } = this.field, { account, amount, functionId } = claim;
    const isPromised = account.isPromised(amount);
    account.await(amount);
    for (const { node } of places) this.#occupied.add(node.id);
    if (this.#obstacles.has(functionId)) return;
    const leaving = places.flatMap(({ node }) => this.#leavingOn.get(node.id) ?? []);
    const ends = leaving.map((one) => leavesAt(one, fns.get(one.functionId), now));
    this.#obstacles.set(functionId, {
      kind: "soon",
      reason: reason ?? (isPromised ? this.#lent(claim, leaving) : null) ?? waitsFor(leaving),
      at: ends.reduce((a, b) => a === null || b === null ? null : Math.max(a, b), now),
    });
  }

  /** What others have to give back, of what leaves. */
  #lent({ account: { workspace } }: Asking, leaving: readonly Container[]): string | null {
    const { fns } = this.field,
      ownerOf = (one: Container) => fns.get(one.functionId)?.workspace ?? workspace.id;
    const theirs = leaving.filter((one) => ownerOf(one) !== workspace.id);
    if (theirs.length === 0) return null;
    const gpuMilli = theirs.reduce((sum, one) => sum + heldBy(one).gpuMilli, 0);
    const cpuMilli = theirs.reduce((sum, one) => sum + one.cpuMilli, 0);
    const what = gpuMilli > 0 ? counted(gpuMilli, "GPU") : counted(cpuMilli, "core");
    return `waits for ${what} lent to workspace ${
      [...new Set(theirs.map(ownerOf))].join(" and ")
    } to come back`;
  }

  /** Why no node has room for a claim; looked up once for each need. */
  whyBlocked({ broken, count }: Asking, asks: readonly Ask[], blocked: { readonly reason: string }): string {
    if (broken !== null) return blocked.reason;
    const known = this.#reasons.get(asks) ?? new Map<number, string>();
    const reason = known.get(count) ?? blocked.reason;
    this.#reasons.set(asks, known.set(count, reason));
    return reason;
  }

  /** Nothing can be had for the claim, nor for others like it. */
  block(claim: Asking, kind: "limited" | "blocked", reason: string): void {
    if (claim.broken !== null) this.#stuck.push(claim.broken);
    if (kind === "blocked") this.leaveOut(claim);
    const said = this.#obstacles.get(claim.functionId);
    if (said === undefined) this.#obstacles.set(claim.functionId, { kind, reason, at: null });
  }

  /** More nodes would help the claim. */
  leaveOut({ fn, broken }: Asking): void {
    if (broken === null) this.#unplaced.set(fn, (this.#unplaced.get(fn) ?? 0) + 1);
  }
}

const giving = ({ length }: readonly Giver[]): string =>
  length === 1 ? "another container gives way to it" : `${length} containers give way to it`;

function waitsFor(leaving: readonly Container[]): string {
  const notice = leaving.reduce((at, one) => Math.max(at, one.preemptAt ?? 0), 0);
  if (notice === 0) return "waits for a container that is leaving";
  return `waits for a container that gives way, by ${new Date(notice).toISOString()} at the latest`;
}
