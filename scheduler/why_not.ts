/** Why no node has room, in words for a person. Pure: it names what is lacking, the first thing first. */
import type { GpuChoice } from "../sdk/gpu.ts";
import { LABEL_OCI } from "../sdk/labels.ts";
import { admits, choices, isUsable, mayStart, opened, reaches, WHOLE } from "./fit.ts";
import type { Need, Node, NodeGpu } from "./model.ts";

/** `needs 2 × H100; largest free node has 1`: one reason for each choice. */
export function whyNot(need: Need, nodes: readonly Node[]): string {
  if (nodes.length === 0) return "no node is up";
  const open = nodes.filter((node) => !node.cordoned);
  if (open.length === 0) return nodes.length === 1 ? "the only node is cordoned" : "all nodes are cordoned";
  const started = open.filter((node) => mayStart(need, node));
  const labelled = started.filter((node) => admits({ ...need, volumes: [] }, node));
  if (labelled.length === 0 && open.some((node) => admits({ ...need, volumes: [] }, opened(node)))) {
    return ENGINE_AWAY;
  }
  if (labelled.length === 0) return unlabelled(need, open);
  const listening = labelled.filter(({ ports }) => need.port === null || !ports.includes(need.port));
  if (listening.length === 0) return `needs port ${need.port}, which another container has on each node`;
  const reaching = listening.filter((node) => admits(need, node));
  if (reaching.length === 0) return `needs ${unreached(need.volumes, labelled, nodes)}`;
  const short = choices(need).map((choice) => shortage(need, choice, reaching)).join("; or ");
  const bound = need.volumes.find(({ home }) => home !== null);
  return bound === undefined ? short : `${short} (of those that have volume "${bound.name}")`;
}

/** `berth nodes` says where, and why. */
const ENGINE_AWAY = "the container engine of each node that it could run on is away";

/** Which volume no node has. */
function unreached(volumes: Need["volumes"], open: readonly Node[], all: readonly Node[]): string {
  const lost = volumes.find((volume) => !open.some((node) => reaches(volume, node)));
  if (lost === undefined) return `${names(volumes)}; no node has all of them`;
  const { name, id, storage, home, node } = lost;
  const volume = `volume "${name}"`;
  if (id === null) return `${volume}, which was deleted: make it again, or deploy without it`;
  if (storage === "shared") {
    return `${volume}; no node ${home === null ? "has a shared path" : "that sees its shared path is up"}`;
  }
  if (home === null) return `${volume}; no node stays that could keep it`;
  const isUp = all.some((one) => one.id === home);
  return `${volume}, which is on node ${node ?? home}; that node ${
    isUp ? "takes no such work now" : "is away"
  }`;
}

const names = (volumes: Need["volumes"]): string =>
  `volumes ${volumes.map(({ name }) => `"${name}"`).join(" and ")}`;

/** The engine of a node is a label that it has by itself, and that nobody asks for by name. */
function unlabelled(need: Need, nodes: readonly Node[]): string {
  const { [LABEL_OCI]: engine, ...asked } = need.labels;
  if (engine !== undefined && nodes.every(({ labels }) => labels[LABEL_OCI] !== engine)) {
    return "needs an image; no node has a container engine";
  }
  const beside = engine === undefined ? "" : " and a container engine";
  return `needs ${labels(asked)}${beside}; no node has that`;
}

function shortage(need: Need, choice: GpuChoice | null, nodes: readonly Node[]): string {
  if (choice !== null) {
    const lacking = gpuShortage(choice, nodes);
    if (lacking !== null) return lacking;
  }
  const fitting = choice === null ? nodes : nodes.filter((node) => countFree(choice, node) >= choice.count);
  const cpu = most(fitting, (node) => node.cpuMilliFree);
  if (cpu < need.cpuMilli) return `needs ${cores(need.cpuMilli)} CPU; largest free node has ${cores(cpu)}`;
  const memory = most(fitting, (node) => node.memoryMiBFree);
  if (memory < need.memoryMiB) return `needs ${need.memoryMiB} MiB memory; largest free node has ${memory}`;
  const disk = most(fitting, (node) => node.diskMiBFree);
  if (disk < need.diskMiB) return `needs ${need.diskMiB} MiB disk; largest free node has ${disk}`;
  return `needs ${all(need, choice)} together; no free node has that`;
}

function gpuShortage(choice: GpuChoice, nodes: readonly Node[]): string | null {
  const wanted = `needs ${amount(choice)}`;
  const usable = nodes.map((node) => node.gpus.filter((gpu) => isUsable(choice, gpu)));
  const installed = most(usable, (gpus) => gpus.length);
  if (installed < choice.count) return `${wanted}; ${tooFew(choice, installed, nodes)}`;
  const free = most(usable, (gpus) => gpus.filter((gpu) => gpu.milliFree >= choice.milli).length);
  if (free >= choice.count) return null;
  if (choice.milli === WHOLE) return `${wanted}; largest free node has ${free}`;
  const left = most(usable, (gpus) => most(gpus, (gpu) => gpu.milliFree));
  return `${wanted}; most free of one GPU is ${left / WHOLE}`;
}

/** Not even empty nodes would do. */
function tooFew(choice: GpuChoice, installed: number, nodes: readonly Node[]): string {
  const isSick = (gpu: NodeGpu) => !gpu.healthy && isUsable(choice, { ...gpu, healthy: true });
  const sick = nodes.reduce((sum, node) => sum + node.gpus.filter(isSick).length, 0);
  const beside = sick > 0 ? `, and ${sick} that ${sick === 1 ? "is" : "are"} unhealthy` : "";
  if (installed > 0) return `largest node has ${installed}${beside}`;
  if (sick > 0) return `no node has a healthy one${beside}`;
  return `no node has ${choice.model === "any" && choice.vramMiB === 0 ? "a GPU" : "one"}`;
}

const countFree = (choice: GpuChoice, node: Node): number =>
  node.gpus.reduce((n, gpu) => gpu.milliFree >= choice.milli && isUsable(choice, gpu) ? n + 1 : n, 0);

const most = <T>(all: readonly T[], of: (one: T) => number): number =>
  all.reduce((max, one) => Math.max(max, of(one)), 0);

const labels = (labels: Need["labels"]): string =>
  `a node with ${Object.entries(labels).map(([key, value]) => `${key}=${value}`).join(", ")}`;

const cores = (milli: number): string => String(milli / 1000);

const MIB_PER_GIB = 1024;

function amount({ model, count, milli, vramMiB }: GpuChoice): string {
  const size = vramMiB === 0 ? "" : ` of ${Math.ceil(vramMiB / MIB_PER_GIB * 10) / 10} GiB`;
  const name = model === "any" ? "any GPU" : model.replaceAll("|", " or ");
  return `${milli < WHOLE ? milli / WHOLE : count} × ${name}${size}`;
}

const all = (need: Need, choice: GpuChoice | null): string =>
  [
    ...(choice === null ? [] : [amount(choice)]),
    `${cores(need.cpuMilli)} CPU`,
    `${need.memoryMiB} MiB memory`,
    ...(need.diskMiB === 0 ? [] : [`${need.diskMiB} MiB disk`]),
  ].join(", ");
