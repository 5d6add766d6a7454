/** What our placing is measured against: first-fit on the tightest GPU, and fragmentation gradient descent as published (ATC 2023). */
import type { NodeLine, Pod, PodClass } from "./pods.ts";

/** A machine while pods are placed on it. */
interface Machine {
  readonly model: string;
  cpu: number;
  memory: number;
  readonly free: Int32Array;
  /** Of what is free, what the mix can't use; NaN when not known. */
  fragment: number;
  changedAt: number;
}

/** Places pods one after the other; false when one fits nowhere. */
export type Placer = (pod: Pod) => boolean;

const machine = ({ model, cpu_milli, memory_mib, gpus }: NodeLine): Machine => ({
  model,
  cpu: cpu_milli,
  memory: memory_mib,
  free: new Int32Array(gpus).fill(1000),
  fragment: NaN,
  changedAt: -1,
});

const holds = (one: Machine, pod: Omit<Pod, "id">): boolean =>
  one.cpu >= pod.cpu_milli && one.memory >= pod.memory_mib &&
  (pod.num_gpu === 0 || pod.gpu_spec.length === 0 || pod.gpu_spec.includes(one.model));

/** The GPUs with the least free that suffice; null when they are too few. */
function tightest({ free }: Machine, { num_gpu, gpu_milli }: Pod): number[] | null {
  const fitting: number[] = [];
  for (let g = 0; g < free.length; g++) if (free[g]! >= gpu_milli) fitting.push(g);
  if (fitting.length < num_gpu) return null;
  return fitting.sort((a, b) => free[a]! - free[b]! || a - b).slice(0, num_gpu);
}

function take(one: Machine, pod: Pod, gpus: readonly number[]): void {
  one.cpu -= pod.cpu_milli;
  one.memory -= pod.memory_mib;
  one.fragment = NaN;
  for (const g of gpus) one.free[g] = one.free[g]! - pod.gpu_milli;
}

export function firstFit(nodes: readonly NodeLine[]): Placer {
  const machines = nodes.map(machine);
  return (pod) => {
    for (const one of machines) {
      const gpus = holds(one, pod) ? tightest(one, pod) : null;
      if (gpus === null) continue;
      take(one, pod, gpus);
      return true;
    }
    return false;
  };
}

/** Scores of machines are kept by class of pod, and made anew for those that changed. */
export function gradientDescent(nodes: readonly NodeLine[], classes: readonly PodClass[]): Placer {
  const machines = nodes.map(machine), fragment = fragmentOf(classes);
  const scores = new Map<string, { readonly by: Float64Array; seen: number }>();
  const changes: number[] = [];
  const score = (one: Machine, pod: Pod) => holds(one, pod) ? gradient(one, pod, fragment).score : Infinity;
  return (pod) => {
    const key = `${pod.cpu_milli} ${pod.memory_mib} ${pod.num_gpu} ${pod.gpu_milli} ${pod.gpu_spec}`;
    let kept = scores.get(key);
    if (kept === undefined) {
      kept = { by: Float64Array.from(machines, (one) => score(one, pod)), seen: changes.length };
      scores.set(key, kept);
    }
    for (; kept.seen < changes.length; kept.seen++) {
      const i = changes[kept.seen]!;
      if (machines[i]!.changedAt === kept.seen) kept.by[i] = score(machines[i]!, pod);
    }
    let best = -1, least = Infinity;
    for (let i = 0; i < machines.length; i++) if (kept.by[i]! < least) [best, least] = [i, kept.by[i]!];
    if (best === -1) return false;
    take(machines[best]!, pod, gradient(machines[best]!, pod, fragment).gpus);
    machines[best]!.changedAt = changes.push(best) - 1;
    return true;
  };
}

type Fragment = (one: Machine, cpu: number) => number;

/** The mean over the most frequent 95 % of the mix of what is free and of no use to it. */
function fragmentOf(classes: readonly PodClass[]): Fragment {
  const all = classes.reduce((sum, { count }) => sum + count, 0);
  let counted = 0;
  const typical = classes.toSorted((a, b) => b.count - a.count).filter(({ count }) => {
    const isTypical = counted < 0.95 * all;
    counted += count;
    return isTypical;
  });
  return ({ model, free }, cpu) => {
    let sum = 0;
    for (const { count, cpu_milli, num_gpu, gpu_milli, gpu_spec } of typical) {
      let fitting = 0, scraps = 0, idle = 0;
      for (let g = 0; g < free.length; g++) {
        const milli = free[g]!;
        idle += milli;
        if (milli >= gpu_milli) fitting++;
        else scraps += milli;
      }
      const fits = num_gpu > 0 && fitting >= num_gpu && cpu >= cpu_milli &&
        (gpu_spec.length === 0 || gpu_spec.includes(model));
      sum += count / all * (fits ? scraps : idle);
    }
    return sum;
  };
}

/** The steepest descent on a machine, in the coarse steps of the published code: less is better. */
function gradient(
  one: Machine,
  pod: Pod,
  fragment: Fragment,
): { readonly score: number; readonly gpus: readonly number[] } {
  if (Number.isNaN(one.fragment)) one.fragment = fragment(one, one.cpu);
  let best: { score: number; gpus: readonly number[] } = { score: Infinity, gpus: [] };
  for (const gpus of options(one, pod)) {
    for (const g of gpus) one.free[g] = one.free[g]! - pod.gpu_milli;
    const descent = one.fragment - fragment(one, one.cpu - pod.cpu_milli);
    for (const g of gpus) one.free[g] = one.free[g]! + pod.gpu_milli;
    const score = -Math.trunc(100 / (1 + Math.exp(-descent / 1000)));
    if (score < best.score) best = { score, gpus };
  }
  return best;
}

/** A share may go to any GPU with room; others take the tightest. */
function options(one: Machine, pod: Pod): readonly (readonly number[])[] {
  if (pod.num_gpu !== 1) return [tightest(one, pod) ?? []].filter(({ length }) => length === pod.num_gpu);
  const seen = new Set<number>();
  return Array.from(one.free, (_, g) => g)
    .filter((g) => one.free[g]! >= pod.gpu_milli && !seen.has(one.free[g]!) && seen.add(one.free[g]!))
    .map((g) => [g]);
}
