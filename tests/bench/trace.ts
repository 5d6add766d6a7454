/**
 * A cluster and a workload of the shape of a published trace (alibaba/clusterdata, cluster-trace-gpu-v2023), drawn by a seed: its
 * machines, and those of its classes of pods that are 96 % of them.
 */
import { dice } from "../setup/snapshots.ts";
import type { NodeLine, Pod, PodClass } from "./pods.ts";

/** How many, milli-CPU, MiB, GPUs, model: 1,213 machines with 6,212 GPUs. */
const MACHINES: readonly (readonly [number, number, number, number, string])[] = [
  [549, 96_000, 393_216, 8, "G2"],
  [387, 104_000, 524_288, 2, "T4"],
  [107, 16_000, 122_880, 2, "P100"],
  [39, 128_000, 786_432, 8, "G3"],
  [28, 32_000, 131_072, 4, "V100M16"],
  [22, 64_000, 262_144, 2, "P100"],
  [21, 96_000, 786_432, 8, "V100M32"],
  [19, 8_000, 32_768, 1, "V100M16"],
  [17, 96_000, 393_216, 4, "T4"],
  [9, 48_000, 376_832, 4, "V100M32"],
  [7, 64_000, 262_144, 8, "V100M16"],
  [3, 8_000, 61_440, 1, "P100"],
  [2, 8_000, 61_440, 2, "P100"],
  [2, 128_000, 1_048_576, 1, "A10"],
  [1, 82_000, 344_064, 8, "V100M16"],
];

/** How many, milli-CPU, MiB, GPUs, milli of each. */
// deno-fmt-ignore
const CLASSES: readonly (readonly [number, number, number, number, number])[] = [
  [1047, 3152, 5600, 1, 810], [857, 11300, 49152, 1, 1000], [534, 11400, 48128, 1, 1000],
  [470, 3152, 5600, 1, 1000], [388, 11908, 47104, 1, 470], [364, 12500, 57344, 0, 0],
  [360, 8000, 30517, 1, 470], [284, 32000, 49152, 0, 0], [255, 18708, 64512, 1, 1000],
  [237, 11908, 47104, 1, 650], [195, 9810, 41560, 1, 1000], [163, 8000, 30517, 0, 0],
  [158, 12000, 24576, 1, 1000], [158, 15700, 58368, 1, 1000], [153, 11908, 47104, 1, 1000],
  [120, 15400, 51200, 0, 0], [111, 4000, 22888, 1, 320], [108, 16000, 32768, 1, 1000],
  [104, 8000, 16384, 1, 1000], [104, 4000, 24576, 1, 1000], [99, 12000, 16384, 1, 1000],
  [95, 16500, 51200, 0, 0], [93, 14200, 58368, 1, 1000], [84, 4000, 30517, 1, 230],
  [84, 24200, 93184, 1, 1000], [78, 4000, 15258, 1, 320], [75, 3152, 5600, 1, 590],
  [72, 8000, 30517, 1, 320], [72, 4152, 10600, 1, 550], [65, 11400, 77824, 1, 1000],
  [55, 8000, 32768, 1, 1000], [53, 4000, 15258, 1, 160], [51, 6000, 6144, 1, 460],
  [51, 11900, 77824, 1, 1000], [45, 4152, 10600, 1, 370], [44, 12000, 15360, 1, 1000],
  [43, 4000, 30517, 1, 320], [41, 8200, 33792, 1, 1000], [40, 4000, 31250, 1, 1000],
  [36, 15200, 80896, 1, 1000], [33, 16000, 65536, 1, 1000], [31, 4152, 10600, 1, 810],
  [29, 6000, 12288, 1, 460], [27, 16400, 125952, 1, 1000], [26, 4000, 22888, 1, 230],
  [24, 4000, 15258, 1, 220], [22, 1000, 2048, 1, 320], [20, 6000, 22888, 1, 160],
  [19, 8000, 30517, 1, 220], [18, 88000, 327680, 8, 1000], [18, 4000, 22888, 1, 480],
  [18, 8000, 30517, 1, 230], [18, 6000, 18432, 1, 460], [18, 64200, 263168, 8, 1000],
  [16, 11300, 37888, 1, 1000], [15, 1000, 6144, 1, 1000], [9, 32200, 132096, 4, 1000],
  [7, 16200, 66560, 2, 1000], [3, 120000, 737280, 8, 1000], [3, 6000, 65536, 2, 1000],
  [3, 64000, 262144, 8, 1000], [3, 32000, 131072, 4, 1000], [3, 30200, 160768, 2, 1000],
  [3, 60200, 320512, 4, 1000], [2, 17400, 43008, 2, 1000], [2, 120200, 640000, 8, 1000],
  [1, 14000, 60000, 2, 1000],
];

export const classes: readonly PodClass[] = CLASSES.map((
  [count, cpu_milli, memory_mib, num_gpu, gpu_milli],
) => ({
  count,
  cpu_milli,
  memory_mib,
  num_gpu,
  gpu_milli,
  gpu_spec: [],
}));

/** The machines, so many times, in an order drawn by the seed. */
export function machines(seed: number, times = 1): NodeLine[] {
  const all = MACHINES.flatMap(([count, cpu_milli, memory_mib, gpus, model]) =>
    Array.from({ length: count * times }, () => ({ cpu_milli, memory_mib, gpus, model }))
  );
  return shuffled(all, seed).map((one, i) => ({ ...one, id: `node-${String(i).padStart(5, "0")}` }));
}

/** Pods that ask for this part of all the machines' GPUs. */
export function arrivals(nodes: readonly NodeLine[], part: number, seed: number): Pod[] {
  const { next } = dice(seed);
  const pool = classes.flatMap((one) => Array<PodClass>(one.count).fill(one));
  const wanted = part * 1000 * nodes.reduce((sum, node) => sum + node.gpus, 0);
  const pods: Pod[] = [];
  for (let asked = 0; asked < wanted;) {
    const one = pool[Math.floor(next() * pool.length)]!;
    pods.push({ ...one, id: pods.length });
    asked += one.num_gpu * one.gpu_milli;
  }
  return pods;
}

function shuffled<T>(all: readonly T[], seed: number): T[] {
  const { next } = dice(seed);
  return all.map((one) => ({ one, key: next() })).sort((a, b) => a.key - b.key).map(({ one }) => one);
}
