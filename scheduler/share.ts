/**
 * What workspaces hold, have used of late, are promised and may have at most. Pure: an account changes only as one tick gives and takes.
 *
 * **Amounts** are GPUs and cores. Where the two are compared a core counts as {@link CORE_IN_GPUS} of a GPU, about what it costs beside one.
 *
 * **Used of late**: GPU-seconds that fade with a half-life of an hour. Whoever holds one GPU for ever comes to {@link MEMORY_S} of them.
 *
 * **Share**: what a workspace has used of late and what it would come to if it kept what it holds, over its weight. The next
 * container goes to the smallest share. Who used the idle GPUs of others all night is not shut out in the morning: it stands back
 * at first and is level again within the hour. Past and present weigh the same, so equal demand ends with GPUs in proportion to weights.
 *
 * **Quota**: promised. What a workspace holds beyond is borrowed, and whoever is promised more than it holds takes it back. Without a
 * quota nothing is promised. **Limit**: never more than this, containers that leave included.
 */
import type { GpuChoice } from "../sdk/gpu.ts";
import type { Container, Fn, Need, Plan, Snapshot, Workspace } from "./model.ts";

/** In which what was used counts half. Long enough that a day's work counts, short enough that yesterday's does not. */
export const USAGE_HALF_LIFE_MS = 3_600_000;
/** The mean time for which use is remembered, in seconds. */
export const MEMORY_S = USAGE_HALF_LIFE_MS / 1_000 / Math.LN2;
/** A core as a part of a GPU. */
export const CORE_IN_GPUS = 0.01;
/** Usage of workspaces that hold something is noted this often. */
export const USAGE_EVERY_MS = 5_000;

export interface Amount {
  readonly gpuMilli: number;
  readonly cpuMilli: number;
}

export const NOTHING_HELD: Amount = { gpuMilli: 0, cpuMilli: 0 };

const plus = (a: Amount, b: Amount, times = 1): Amount => ({
  gpuMilli: a.gpuMilli + times * b.gpuMilli,
  cpuMilli: a.cpuMilli + times * b.cpuMilli,
});

/** What a container holds. */
export const heldBy = ({ gpus, cpuMilli }: Pick<Container, "gpus" | "cpuMilli">): Amount => ({
  gpuMilli: gpus.reduce((sum, { milli }) => sum + milli, 0),
  cpuMilli,
});

/** What a container would hold that gets this of what it accepts. */
export const amountOf = ({ cpuMilli }: Need, choice: GpuChoice | null): Amount => ({
  gpuMilli: choice === null ? 0 : choice.count * choice.milli,
  cpuMilli,
});

export const times = (n: number, amount: Amount): Amount => plus(NOTHING_HELD, amount, n);

/** An amount as GPUs alone. */
export const inGpus = ({ gpuMilli, cpuMilli }: Amount): number => (gpuMilli + cpuMilli * CORE_IN_GPUS) / 1000;

/** One workspace in one tick. */
export class Account {
  readonly workspace: Workspace;
  /** Of late, up to now. */
  readonly used: number;
  #staying = NOTHING_HELD;
  #leaving = NOTHING_HELD;
  #awaited = NOTHING_HELD;

  constructor(workspace: Workspace, used: number) {
    this.workspace = workspace;
    this.used = used;
  }

  /** A container that stays. */
  take(amount: Amount): void {
    this.#staying = plus(this.#staying, amount);
  }

  /** A container that will start when others have left. */
  await(amount: Amount): void {
    this.#awaited = plus(this.#awaited, amount);
  }

  /** A container that is on its way out. */
  see(leaving: Amount): void {
    this.#leaving = plus(this.#leaving, leaving);
  }

  /** A container that stayed so far leaves. */
  part(amount: Amount): void {
    this.#staying = plus(this.#staying, amount, -1);
    this.#leaving = plus(this.#leaving, amount);
  }

  /** It does not leave after all. */
  rejoin(amount: Amount): void {
    this.#staying = plus(this.#staying, amount);
    this.#leaving = plus(this.#leaving, amount, -1);
  }

  get holdsNothing(): boolean {
    return inGpus(plus(this.#staying, this.#leaving)) === 0;
  }

  /** What it has, or will have once all that leaves has left. */
  get #had(): Amount {
    return plus(this.#staying, this.#awaited);
  }

  /** @param change in what it holds, in GPUs; `memoryS`: how long what it holds counts for */
  share({ change = 0, memoryS = MEMORY_S } = {}): number {
    return (this.used + (inGpus(this.#had) + change) * memoryS) / this.workspace.weight;
  }

  /** Whether it is promised this on top of what it holds. Where it takes GPUs, a promise of cores alone does not count. */
  isPromised(amount: Amount): boolean {
    const { gpuQuotaMilli: gpu, cpuQuotaMilli: cpu } = this.workspace;
    if ((amount.gpuMilli > 0 ? gpu : cpu) === null) return false;
    const { gpuMilli, cpuMilli } = plus(this.#had, amount);
    return (gpu === null || gpuMilli <= gpu) && (cpu === null || cpuMilli <= cpu);
  }

  /** How much it holds beyond what it is promised. */
  get borrowed(): Amount {
    const { gpuQuotaMilli, cpuQuotaMilli } = this.workspace, { gpuMilli, cpuMilli } = this.#had;
    return {
      gpuMilli: Math.max(0, gpuMilli - (gpuQuotaMilli ?? 0)),
      cpuMilli: Math.max(0, cpuMilli - (cpuQuotaMilli ?? 0)),
    };
  }

  /** Why it may not have this on top of what it holds now, or null when it may. */
  excess(amount: Amount): string | null {
    return this.#over(amount, plus(this.#staying, this.#leaving)) ?? this.excessSoon(amount);
  }

  /** The same once all that leaves has left. */
  excessSoon(amount: Amount): string | null {
    return this.#over(amount, this.#had);
  }

  #over({ gpuMilli, cpuMilli }: Amount, held: Amount): string | null {
    const { gpuLimitMilli, cpuLimitMilli } = this.workspace;
    if (gpuMilli > 0 && held.gpuMilli + gpuMilli > (gpuLimitMilli ?? Infinity)) {
      return tooMuch(held.gpuMilli, gpuLimitMilli!, gpuMilli, "GPU");
    }
    return held.cpuMilli + cpuMilli > (cpuLimitMilli ?? Infinity)
      ? tooMuch(held.cpuMilli, cpuLimitMilli!, cpuMilli, "core")
      : null;
  }
}

const tooMuch = (held: number, limit: number, more: number, unit: string): string =>
  `its workspace uses ${held / 1000} of its limit of ${counted(limit, unit)}` +
  (held < limit ? ` and this takes ${more / 1000}` : "");

/** `4 GPUs`, `1 core` */
export const counted = (milli: number, unit: string): string =>
  `${milli / 1000} ${unit}${milli === 1000 ? "" : "s"}`;

/** What a workspace had used of late at an instant, fading since then. */
export const faded = ({ used, usedAt }: Workspace, now: number): number =>
  used * 2 ** (-Math.max(0, now - (usedAt ?? now)) / USAGE_HALF_LIFE_MS);

/** What holding one GPU since an instant comes to, the beginning of it faded already. */
const heldSince = (since: number, now: number): number =>
  MEMORY_S * (1 - 2 ** (-Math.max(0, now - since) / USAGE_HALF_LIFE_MS));

export type Accounts = ReadonlyMap<string, Account>;

/** @param containers all live ones. @param leaving those of them on their way out */
export function accountsOf(
  { workspaces, functions }: Pick<Snapshot, "workspaces" | "functions">,
  containers: readonly Container[],
  leaving: readonly Container[],
  now: number,
): Accounts {
  const owners = new Map(functions.map((fn) => [fn.id, fn.workspace]));
  const byOwner = Map.groupBy(containers, (one) => owners.get(one.functionId) ?? "");
  const going = new Set(leaving);
  return new Map(workspaces.map((workspace) => {
    const own = byOwner.get(workspace.id) ?? [];
    const account = new Account(workspace, usedOfLate(workspace, own, now));
    for (const one of own) {
      if (going.has(one)) account.see(heldBy(one));
      else account.take(heldBy(one));
    }
    return [workspace.id, account];
  }));
}

export const accountOf = ({ workspace }: Fn, accounts: Accounts): Account => accounts.get(workspace)!;

/** Containers use what they hold from their start to their end, working or not. */
export function usedOfLate(workspace: Workspace, containers: readonly Container[], now: number): number {
  const from = workspace.usedAt ?? now;
  return containers.reduce(
    (sum, one) => sum + inGpus(heldBy(one)) * heldSince(Math.max(from, one.createdAt), now),
    faded(workspace, now),
  );
}

/** What is to be noted: what workspaces that hold something have used, when the last note is old. */
export const usageNotes = (accounts: Iterable<Account>, now: number): Plan["usage"] =>
  [...accounts].flatMap(({ workspace: { id, usedAt }, used, holdsNothing }) =>
    !holdsNothing && (usedAt === null || now - usedAt >= USAGE_EVERY_MS) ? [{ workspace: id, used }] : []
  );
