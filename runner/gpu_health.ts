/**
 * Which GPUs of this machine fail, looked at now and then: what nvidia-smi says of them, and what the kernel's log has said since the
 * runner started. The scheduler takes them out of service, and puts them back when they are well again.
 *
 * For tests and drills: each line `INDEX WHAT` of the file `ailing-gpus` in the runner's data folder makes that GPU fail, simulated or not,
 * until the line is gone.
 */
import type { Clock, Log } from "../sdk/ports.ts";
import type { Gpu } from "../sdk/protocol.ts";
import type { Spawn } from "./engine.ts";

export interface Ailment {
  readonly index: number;
  readonly ailment: string;
}

export interface GpuHealthDeps {
  readonly gpus: readonly Gpu[];
  readonly spawn: Spawn;
  /** The text of `ailing-gpus`; empty without. */
  readonly drill: () => Promise<string>;
  readonly clock: Clock;
  readonly log: Log;
}

/** An nvidia-smi that takes this long hangs, as it does when the driver has lost a GPU. */
const SMI_MS = 60_000;
/** Between two questions to nvidia-smi, which costs tens of milliseconds of CPU; and between two looks at the file. */
const PROBE_MS = 30_000;
const LOOK_MS = 1_000;

export class GpuHealth {
  readonly #deps: GpuHealthDeps;
  readonly #kernel: KernelLog;
  #ailing: readonly Ailment[] = [];
  #probed: readonly Ailment[] = [];
  #probeAt = 0;
  /** The question to nvidia-smi that has not been answered. One that hangs is not asked again beside it. */
  #asking: Promise<SmiState[]> | null = null;

  constructor(deps: GpuHealthDeps) {
    this.#deps = deps;
    this.#kernel = new KernelLog(deps.spawn);
  }

  /** As last seen. */
  get ailing(): readonly Ailment[] {
    return this.#ailing;
  }

  /** Looks until aborted; calls `changed` when something else ails than before. */
  async watch(signal: AbortSignal, changed: () => void): Promise<void> {
    const { gpus, clock, log } = this.#deps;
    if (gpus.length === 0) return;
    while (!signal.aborted) {
      const ailing = await this.#look();
      if (JSON.stringify(ailing) !== JSON.stringify(this.#ailing)) {
        this.#ailing = ailing;
        log("gpus.health", { ailing });
        changed();
      }
      await clock.sleep(LOOK_MS, signal);
    }
  }

  async #look(): Promise<readonly Ailment[]> {
    const { gpus, drill, clock } = this.#deps;
    const real = gpus.filter(({ simulated }) => !simulated);
    if (real.length > 0 && clock.now() >= this.#probeAt) {
      this.#probed = await this.#probe(real);
      this.#probeAt = clock.now() + PROBE_MS;
    }
    return firstOfEach([...parseDrill(await drill()), ...this.#probed], gpus);
  }

  async #probe(real: readonly Gpu[]): Promise<readonly Ailment[]> {
    const { spawn, clock } = this.#deps;
    const over = new AbortController();
    const late = clock.sleep(SMI_MS, over.signal).then(() => null);
    this.#asking ??= smiStates(spawn).finally(() => this.#asking = null);
    const states = await Promise.race([this.#asking, late]);
    over.abort();
    if (states === null) return real.map(({ index }) => ({ index, ailment: "nvidia-smi does not answer" }));
    const ours = numbered(states, real);
    return [...await this.#kernel.ailments(ours), ...ailmentsOf(ours, real)];
  }
}

/** One ailment of each GPU, in the order of the GPUs. */
const firstOfEach = (found: readonly Ailment[], gpus: readonly Gpu[]): Ailment[] =>
  gpus.flatMap(({ index }) => found.find((one) => one.index === index) ?? []);

export const parseDrill = (text: string): Ailment[] =>
  text.split("\n").flatMap((line) => {
    const [, index, what] = /^(\d+)\s*(.*)$/.exec(line.trim()) ?? [];
    return index === undefined ? [] : [{ index: Number(index), ailment: what || "said to fail" }];
  });

// ── nvidia-smi ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What nvidia-smi says of a GPU, by field. */
export type SmiState = Readonly<Record<string, string>> & { readonly index: string };

/** Fields that say that a GPU should not be used, each with the answers that do and what they mean. Drivers don't know all of them. */
const SYMPTOMS: Readonly<Record<string, { readonly bad: RegExp; readonly meaning: string }>> = {
  "ecc.errors.uncorrected.volatile.total": { bad: /^[1-9]\d*$/, meaning: "uncorrectable ECC errors" },
  "retired_pages.pending": { bad: /^yes$/i, meaning: "memory pages wait to be retired, by a reset" },
  "remapped_rows.pending": {
    bad: /^(yes|[1-9]\d*)$/i,
    meaning: "memory rows wait to be remapped, by a reset",
  },
  "remapped_rows.failure": { bad: /^(yes|[1-9]\d*)$/i, meaning: "memory rows could not be remapped" },
  "gpu_recovery_action": { bad: /^(?!none|n\/?a|\[)\w/i, meaning: "the driver asks for an action" },
};
const IDENTITY = ["index", "uuid", "pci.bus_id"];

/** Asks for all fields that this driver knows. */
async function smiStates(spawn: Spawn): Promise<SmiState[]> {
  let fields = [...IDENTITY, ...Object.keys(SYMPTOMS)];
  for (;;) {
    const args = [`--query-gpu=${fields.join(",")}`, "--format=csv,noheader,nounits"];
    const { stdout, stderr } = await spawn.output({ command: "nvidia-smi", args }).catch(failed);
    const unknown = /Field "([\w.]+)" is not a valid field/.exec(stdout + stderr)?.[1];
    if (unknown === undefined || !fields.includes(unknown)) return parseStates(stdout, fields);
    fields = fields.filter((field) => field !== unknown);
  }
}

const failed = (error: Error) => ({ code: 1, stdout: "", stderr: error.message });

export const parseStates = (csv: string, fields: readonly string[]): SmiState[] =>
  csv.split("\n").flatMap((line) => {
    const values = line.split(",").map((value) => value.trim());
    if (values.length !== fields.length || !/^\d+$/.test(values[0]!)) return [];
    return [Object.fromEntries(fields.map((field, i) => [field, values[i]!])) as SmiState];
  });

/** With the indexes of the start: nvidia-smi counts anew when a GPU is lost. */
const numbered = (states: readonly SmiState[], gpus: readonly Gpu[]): SmiState[] =>
  states.map((state) => {
    const gpu = gpus.find(({ uuid }) => uuid !== undefined && uuid === state.uuid);
    return gpu === undefined ? state : { ...state, index: String(gpu.index) };
  });

/** What ails GPUs, by what nvidia-smi says of them; one that it no longer names has fallen off the bus. */
export const ailmentsOf = (states: readonly SmiState[], gpus: readonly Gpu[]): Ailment[] =>
  gpus.flatMap(({ index }) => {
    const state = states.find((one) => Number(one.index) === index);
    if (state === undefined) return [{ index, ailment: "nvidia-smi no longer lists it" }];
    const found = Object.entries(SYMPTOMS).find(([field, { bad }]) => bad.test(state[field] ?? ""));
    return found === undefined
      ? []
      : [{ index, ailment: `${found[1].meaning} (${found[0]}: ${state[found[0]]})` }];
  });

// ── the kernel's log ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Errors after which a GPU needs a reset; the others are mostly those of a program. NVIDIA's "Xid Errors" lists them. */
const FATAL_XIDS: Readonly<Record<number, string>> = {
  48: "double-bit ECC error",
  64: "memory rows could not be remapped",
  79: "it has fallen off the bus",
  95: "uncontained ECC error",
  119: "its system processor does not answer",
  120: "its system processor failed",
};

/** Xids in the kernel's log, where we may read it. What was there at the start may be from before a reset. */
class KernelLog {
  readonly #spawn: Spawn;
  /** It forgets what is old; a GPU needs its reset nevertheless. */
  readonly #found: Ailment[] = [];
  #known: Set<string> | null = null;
  #readable = true;

  constructor(spawn: Spawn) {
    this.#spawn = spawn;
  }

  async ailments(states: readonly SmiState[]): Promise<Ailment[]> {
    if (!this.#readable) return [];
    const { code, stdout } = await this.#spawn.output({ command: "dmesg", args: [] }).catch(failed);
    this.#readable = code === 0;
    const lines = stdout.split("\n").filter((line) => line.includes("NVRM: Xid"));
    const known = this.#known ??= new Set(lines);
    for (const line of lines.filter((line) => !known.has(line))) {
      known.add(line);
      this.#found.push(...parseXid(line, states));
    }
    return this.#found;
  }
}

/** `[12.3] NVRM: Xid (PCI:0000:3b:00): 79, …` */
export function parseXid(line: string, states: readonly SmiState[]): Ailment[] {
  const [, bus, xid] = /NVRM: Xid \(PCI:([0-9a-f:.]+)\): (\d+)/i.exec(line) ?? [];
  const meaning = FATAL_XIDS[Number(xid)];
  if (bus === undefined || meaning === undefined) return [];
  const short = (text: string) => text.toLowerCase().replace(/^0+/, "").replace(/\.\d+$/, "");
  const state = states.find((one) => short(one["pci.bus_id"] ?? "") === short(bus));
  return state === undefined ? [] : [{ index: Number(state.index), ailment: `Xid ${xid}: ${meaning}` }];
}
