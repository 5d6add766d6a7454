/** Pods and nodes as published traces write them, placed by the scheduler's own room. */
import type { Workload } from "../../scheduler/mix.ts";
import type { Need, Node } from "../../scheduler/model.ts";
import { type Holding, type Room, roomOf } from "../../scheduler/room.ts";

export interface NodeLine {
  readonly id: string;
  readonly cpu_milli: number;
  readonly memory_mib: number;
  readonly gpus: number;
  readonly model: string;
}

export interface Pod {
  readonly id: number;
  readonly cpu_milli: number;
  readonly memory_mib: number;
  readonly num_gpu: number;
  readonly gpu_milli: number;
  /** Models that will do; none: all. */
  readonly gpu_spec: readonly string[];
}

export type PodClass = Omit<Pod, "id"> & { readonly count: number };

/** The mix is what was named, which counts as so many arrivals at most, and what arrives. */
const TRUSTED_MAX = 2_000;
/** Arrivals before the mix is looked at anew the first time; then at twice as many, and so on. */
const REVIEW_AT = 250;
/** It is taken up when this part of it is other than was thought. */
const SURPRISE = 0.15;

export class PodRoom {
  readonly #placed = new Map<number, Holding>();
  readonly #kinds = new Map<string, { readonly need: Need; readonly trusted: number; arrived: number }>();
  #arrived = 0;
  #reviewAt = REVIEW_AT;
  #mix: readonly Workload[];
  #room: Room;

  constructor(nodes: readonly NodeLine[], classes: readonly PodClass[]) {
    const sum = classes.reduce((sum, { count }) => sum + count, 0);
    for (const one of classes) {
      const trusted = one.count * Math.min(1, TRUSTED_MAX / sum);
      this.#kinds.set(keyOf(one), { need: needOf(one), trusted, arrived: 0 });
    }
    this.#mix = this.#seenSoFar();
    this.#room = roomOf(nodes.map(nodeOf), [], this.#mix);
  }

  /** Where a pod goes; null when it fits nowhere. */
  place(pod: Pod): { readonly node: string; readonly gpus: readonly number[] } | null {
    const need = this.#arrival(pod);
    const found = this.#room.find(need, null);
    if (found === null) return null;
    this.#room.take(found, need);
    const { node: { id: node }, gpus } = found;
    this.#placed.set(pod.id, { ...need, node, gpus });
    return { node, gpus: gpus.map(({ index }) => index) };
  }

  end(id: number): void {
    const holding = this.#placed.get(id);
    if (holding === undefined) return;
    this.#placed.delete(id);
    this.#room.give(holding);
  }

  #arrival(pod: Pod): Need {
    const key = keyOf(pod);
    let kind = this.#kinds.get(key);
    if (kind === undefined) this.#kinds.set(key, kind = { need: needOf(pod), trusted: 0, arrived: 0 });
    kind.arrived++;
    if (++this.#arrived === this.#reviewAt) this.#review();
    return kind.need;
  }

  #review(): void {
    this.#reviewAt *= 2;
    const mix = this.#seenSoFar();
    if (difference(mix, this.#mix) < SURPRISE) return;
    this.#mix = mix;
    this.#room = roomOf(this.#room.nodes(), [], mix);
  }

  #seenSoFar(): Workload[] {
    return [...this.#kinds.values()].map(({ need, trusted, arrived }) => ({
      need,
      weight: trusted + arrived,
    }));
  }
}

/** The part of one mix that is not in the other. */
function difference(a: readonly Workload[], b: readonly Workload[]): number {
  const sum = (mix: readonly Workload[]) => mix.reduce((sum, { weight }) => sum + weight, 0) || 1;
  const [all, before] = [sum(a), sum(b)];
  const weights = new Map(b.map(({ need, weight }) => [need, weight / before]));
  return a.reduce((part, { need, weight }) => part + Math.max(0, weight / all - (weights.get(need) ?? 0)), 0);
}

const keyOf = ({ cpu_milli, memory_mib, num_gpu, gpu_milli, gpu_spec }: Omit<Pod, "id">): string =>
  `${cpu_milli} ${memory_mib} ${num_gpu} ${gpu_milli} ${gpu_spec}`;

const needOf = ({ cpu_milli, memory_mib, num_gpu, gpu_milli, gpu_spec }: Omit<Pod, "id">): Need => {
  const models = [...new Set(gpu_spec)];
  const choice = {
    model: models.length === 0 ? "any" : models.join("|"),
    count: num_gpu,
    milli: gpu_milli,
    vramMiB: 0,
  };
  return {
    gpu: num_gpu === 0 ? [] : [choice],
    cpuMilli: cpu_milli,
    memoryMiB: memory_mib,
    diskMiB: 0,
    labels: {},
    port: null,
    volumes: [],
  };
};

const nodeOf = ({ id, cpu_milli, memory_mib, gpus, model }: NodeLine): Node => ({
  id,
  session: "",
  pool: "default",
  state: "up",
  cordoned: false,
  engineAway: null,
  provision: null,
  emptiedAt: 0,
  leaseUntil: Infinity,
  cpuMilli: cpu_milli,
  cpuMilliFree: cpu_milli,
  memoryMiB: memory_mib,
  memoryMiBFree: memory_mib,
  diskMiB: 0,
  diskMiBFree: 0,
  ports: [],
  labels: {},
  costPerHour: 0,
  cached: [],
  gpus: Array.from(
    { length: gpus },
    (_, index) => ({ index, model, vramMiB: 0, milliFree: 1000, healthy: true }),
  ),
});
