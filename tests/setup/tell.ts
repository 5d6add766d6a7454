/**
 * Stories of the scheduler as text: what happens to a pretended world, and what it does about it. Pure.
 *
 * ```
 * # What it is about.
 * node n1 gpus H100:2
 * function train gpu H100 takes 5s
 * call train x2
 * wait 10s
 *   0.0s start c1 of train on n1 gpu 0: 2 calls wait
 *   …
 * ```
 *
 * A line is a comment, a command, or, when it is indented, what came of the command before. {@link tell} does the commands and writes
 * down what comes of them; a story that tells the same as before is unchanged. The commands are the keys of `COMMANDS` below.
 */
import { parseDuration } from "../../sdk/duration.ts";
import { parseGpu } from "../../sdk/gpu.ts";
import type { Fn, NeedVolume, Node, Workspace } from "../../scheduler/model.ts";
import { Pretend } from "./pretend.ts";
import type { Behaviour } from "./pretend_calls.ts";
import { fn, node, workspace } from "./snapshots.ts";

/** The story with what comes of each of its commands now. Throws where a command cannot be read, or a plan is unsound. */
export function tell(text: string): string {
  const world = new Pretend();
  const lines: string[] = [];
  for (const line of text.trimEnd().split("\n")) {
    if (line.startsWith("  ")) continue;
    lines.push(line);
    if (line === "" || line.startsWith("#")) continue;
    const told = world.story.length;
    obey(line, world);
    if (world.broken.length > 0) {
      throw new Error(`"${line}" made an unsound plan: ${world.broken.join(", ")}`);
    }
    lines.push(...world.story.slice(told).map((what) => `  ${what}`));
  }
  return `${lines.join("\n")}\n`;
}

function obey(line: string, world: Pretend): void {
  const [name = "", ...words] = line.split(" ").filter((word) => word !== "");
  const command = COMMANDS[name];
  if (command === undefined) {
    throw new Error(`Cannot read "${line}": there are ${Object.keys(COMMANDS).join(", ")}`);
  }
  command(world, words);
}

type Words = readonly string[];

const COMMANDS: Readonly<Record<string, (world: Pretend, words: Words) => void>> = {
  workspace: (world, [id = "", ...words]) => world.admit(workspaceOf(id, wordsOf(words))),
  node: (world, [id = "", ...words]) => world.nodes.push(nodeOf(id, wordsOf(words))),
  pool: (world, [name = "", ...words]) => setPool(world, name, wordsOf(words)),
  function: (world, [name = "", ...words]) => deploy(world, name, wordsOf(words)),
  /** The same with some of its words changed, as a new deployment. */
  deploy: (world, [name = "", ...words]) => deployAnew(world, name, wordsOf(words)),
  /** A secret of it is changed. */
  secret: (world, [name = ""]) => changeSecret(world, name),
  remove: (world, [name = ""]) => change(world, name, { removed: true }),
  call: (world, [name = "", ...words]) => call(world, name, words),
  wait: (world, [duration = ""]) => world.live(parseDuration(duration)),
  drain: (world, [id = ""]) => world.changeNode(id, { state: "draining" }),
  cordon: (world, [id = ""]) => world.changeNode(id, { cordoned: true }),
  uncordon: (world, [id = ""]) => world.changeNode(id, { cordoned: false }),
  /** Not heard of any more. */
  silence: (world, [id = ""]) => void world.silent.add(id),
  gpu: (world, [id = "", index, state]) => setHealth(world, id, Number(index), state === "heals"),
  crash: (world, [id = ""]) => world.crash(id),
  /** What each function and workspace has come to. */
  show: (world) => show(world),
};

/** `max 3 preemptible` → words with what follows them. */
type Options = ReadonlyMap<string, string>;

const FLAGS = ["preemptible", "drains"];

function wordsOf(words: Words): Options {
  const options = new Map<string, string>();
  for (let i = 0; i < words.length; i++) options.set(words[i]!, FLAGS.includes(words[i]!) ? "" : words[++i]!);
  return options;
}

const number = (options: Options, word: string, otherwise: number): number =>
  options.has(word) ? Number(options.get(word)) : otherwise;
const duration = (options: Options, word: string, otherwise: string): number =>
  parseDuration(options.get(word) ?? otherwise);
const milli = (options: Options, word: string): number | null =>
  options.has(word) ? Number(options.get(word)) * 1000 : null;
/** `H100:2,A100` */
const gpus = (options: Options, word: string) => parseGpu(options.get(word)?.split(",") ?? []);
/** `zone=eu` */
const labels = (options: Options): Record<string, string> =>
  Object.fromEntries(options.get("label")?.split(",").map((pair) => pair.split("=")) ?? []);

/** `weights`, `weights@n1`, `shared:data`, `shared:data@nfs`, `gone:old`: volumes, and where they are. */
const volumes = (options: Options): NeedVolume[] =>
  options.get("volume")?.split(",").map((text) => {
    const [, kind, name = "", home = null] = /^(?:(\w+):)?(\w+)(?:@(\w+))?$/.exec(text) ?? [];
    return {
      name,
      id: kind === "gone" ? null : name,
      storage: kind === "shared" ? kind : "node",
      home,
      node: home,
    };
  }) ?? [];

const workspaceOf = (id: string, options: Options): Workspace =>
  workspace({
    id,
    weight: number(options, "weight", 100),
    gpuQuotaMilli: milli(options, "quota"),
    gpuLimitMilli: milli(options, "limit"),
    cpuQuotaMilli: milli(options, "core-quota"),
    cpuLimitMilli: milli(options, "core-limit"),
  });

/** What nodes have, those of pools too. */
const shapeOf = (options: Options) => ({
  cpuMilli: number(options, "cpu", 8) * 1000,
  memoryMiB: number(options, "memory", 64) * 1024,
  diskMiB: number(options, "disk", 100) * 1024,
  labels: labels(options),
  gpus: gpus(options, "gpus").flatMap(({ model, count }) =>
    Array.from({ length: count }, () => ({ model, vramMiB: number(options, "vram", 80) * 1024 }))
  ),
});

function nodeOf(id: string, options: Options): Node {
  const shape = shapeOf(options);
  return node({
    ...shape,
    id,
    cpuMilliFree: shape.cpuMilli,
    memoryMiBFree: shape.memoryMiB,
    diskMiBFree: shape.diskMiB,
    costPerHour: number(options, "cost", 0),
    gpus: shape.gpus.map((gpu, index) => ({ ...gpu, index, milliFree: 1000, healthy: true })),
  });
}

function setPool(world: Pretend, name: string, options: Options): void {
  const before = world.pools.get(name);
  const joins = options.get("joins");
  const joinMs = joins === undefined ? before?.joinMs ?? 0 : joins === "never" ? null : parseDuration(joins);
  const pool = before?.pool ?? {
    name,
    state: "active" as const,
    provider: "pretended",
    min: number(options, "min", 0),
    max: number(options, "max", 1),
    shape: shapeOf(options),
    costPerHour: number(options, "cost", 1),
    idleTimeoutMs: duration(options, "idle", "60s"),
    provisionTimeoutMs: duration(options, "timeout", "60s"),
    failures: null,
  };
  world.pools.set(name, { joinMs, pool: options.has("drains") ? { ...pool, state: "draining" } : pool });
}

const idOf = (world: Pretend, name: string): number => {
  const found = [...world.fns.values()].find((one) => one.name === name);
  if (found === undefined) throw new Error(`Cannot find function "${name}"`);
  return found.id;
};

function deploy(world: Pretend, name: string, options: Options): void {
  world.deploy(fnOf(world.fns.size + 1, name, options), behaviourOf(options));
}

function deployAnew(world: Pretend, name: string, options: Options): void {
  const before = world.fns.get(idOf(world, name))!;
  const deployment = `dep_${Number(before.deployment.slice(4)) + 1}`;
  const { behaviour } = world.work.get(before.id)!;
  world.deploy({ ...before, deployment, digest: deployment }, {
    ...behaviour,
    broken: null,
    ...behaviourOf(options),
  });
}

function changeSecret(world: Pretend, name: string): void {
  const { secretsRevision } = world.fns.get(idOf(world, name))!;
  change(world, name, { secretsRevision: (secretsRevision ?? 0) + 1 });
}

function change(world: Pretend, name: string, some: Partial<Fn>): void {
  const id = idOf(world, name);
  world.fns.set(id, { ...world.fns.get(id)!, ...some });
}

const fnOf = (id: number, name: string, options: Options): Fn =>
  fn({
    id,
    name,
    workspace: options.get("workspace") ?? "default",
    nodes: number(options, "nodes", 1),
    preemptible: options.has("preemptible"),
    preemptNoticeMs: duration(options, "notice", "30s"),
    timeoutMs: duration(options, "timeout", "5m"),
    need: {
      gpu: gpus(options, "gpu"),
      cpuMilli: number(options, "cpu", 0.1) * 1000,
      memoryMiB: number(options, "memory", 0.5) * 1024,
      diskMiB: number(options, "disk", 0) * 1024,
      labels: labels(options),
      port: options.has("port") ? number(options, "port", 0) : null,
      volumes: volumes(options),
    },
    scale: {
      min: number(options, "min", 0),
      max: number(options, "max", 10),
      buffer: number(options, "buffer", 0),
      concurrency: number(options, "concurrency", 1),
      targetConcurrency: number(options, "concurrency", 1),
      scaledownWindowMs: duration(options, "window", "60s"),
    },
  });

function behaviourOf(options: Options): Partial<Behaviour> {
  const times = [["takes", "callMs"], ["starts", "startMs"], ["saves", "saveMs"]] as const;
  return {
    ...Object.fromEntries(
      times.flatMap(([word, field]) => options.has(word) ? [[field, parseDuration(options.get(word)!)]] : []),
    ),
    ...(options.has("says") ? { broken: options.get("says")!.replaceAll("_", " ") } : {}),
  };
}

/** `call train x4 priority 90 key a` */
function call(world: Pretend, name: string, words: Words): void {
  const [times, ...rest] = /^x\d+$/.test(words[0] ?? "") ? words : ["x1", ...words];
  const options = wordsOf(rest);
  world.call(idOf(world, name), Number(times!.slice(1)), {
    priority: number(options, "priority", 50),
    key: options.get("key") ?? null,
  });
}

function setHealth(world: Pretend, id: string, index: number, healthy: boolean): void {
  const { gpus } = world.nodes.find((one) => one.id === id)!;
  world.changeNode(id, { gpus: gpus.map((gpu) => gpu.index === index ? { ...gpu, healthy } : gpu) });
}

function show(world: Pretend): void {
  for (const { id, name } of world.fns.values()) {
    const { queued, running, done } = world.work.get(id)!;
    const containers = world.containers.filter((one) => one.functionId === id).length;
    world.say(`${name} has ${containers} containers: ${queued} wait, ${running.length} run, ${done} done`);
  }
}
