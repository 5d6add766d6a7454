/**
 * A simulated machine: what lies on its disk, and the guests that run on it, which outlive their runner. It keeps its own account of
 * who holds which GPU: what the platform believes is one thing, what runs is another.
 */
import { type Engine, type Guest, type Left, type StartContext, StartError } from "../../../runner/engine.ts";
import type { GpuHealth } from "../../../runner/gpu_health.ts";
import type { Assignment, Gpu } from "../../../sdk/protocol.ts";
import type { Dice } from "../dice.ts";
import type { Process } from "../process.ts";
import type { Story } from "../story.ts";
import type { Timeline } from "../timeline.ts";
import { SimulatedGuest } from "./guest.ts";

export interface MachineShape {
  readonly name: string;
  readonly cpu: number;
  /** MiB. */
  readonly memory: number;
  readonly gpus: readonly Gpu[];
}

/** What starts are like; probabilities are of one start. */
export interface EngineWeather {
  readonly startMs: readonly [number, number];
  readonly loadMs: readonly [number, number];
  readonly fails: number;
  readonly hangs: number;
  /** From the kill to the end of a guest. */
  readonly dieMs: readonly [number, number];
}

export const FINE_ENGINE: EngineWeather = {
  startMs: [5, 200],
  loadMs: [5, 200],
  fails: 0,
  hangs: 0,
  dieMs: [0.1, 20],
};

/** As of the engine of containers. */
const RESUME_MS = 20_000;

export interface MachinePorts {
  readonly timeline: Timeline;
  readonly story: Story;
  readonly dice: Dice;
  /** Told what must never be. */
  readonly violated: (what: string) => void;
}

export class Machine {
  readonly shape: MachineShape;
  weather = FINE_ENGINE;
  /** The node's credential, and the last session of its runner, on its disk. */
  credential: string | null = null;
  session: string | undefined;
  /** Whether its engine is one of containers, which outlive their runner. */
  readonly #keeps: boolean;
  /** GPUs that are not there at the next start of the runner. */
  readonly lostGpus = new Set<number>();
  /** What is wrong with which GPU. */
  readonly #ailing = new Map<number, string>();
  #onAilment: () => void = () => {};
  readonly #ports: MachinePorts;
  readonly #dice: Dice;
  readonly #guests = new Map<string, SimulatedGuest>();

  constructor(shape: MachineShape, ports: MachinePorts) {
    this.shape = shape;
    this.#ports = ports;
    this.#dice = ports.dice.of(shape.name);
    this.#keeps = this.#dice.of("engine").chance(0.5);
  }

  get gpus(): Gpu[] {
    return this.shape.gpus.filter(({ index }) => !this.lostGpus.has(index));
  }

  /** Guests that run now. */
  get guests(): readonly SimulatedGuest[] {
    return [...this.#guests.values()];
  }

  guest(container: string): SimulatedGuest | undefined {
    return this.#guests.get(container);
  }

  /** All guests are gone at once: the machine lost its power. */
  clear(): void {
    for (const guest of this.guests) guest.vanish();
  }

  /** A new runner sweeps what the old one left, but for what it may go on with. */
  sweep(): void {
    for (const guest of this.guests) if (!guest.isLeft) guest.vanish();
  }

  /** A GPU begins to fail, or is well again. */
  ail(index: number, ailment: string | null): void {
    this.#ports.story.tell(this.shape.name, `gpu ${index} ${ailment ?? "is well again"}`);
    if (ailment === null) this.#ailing.delete(index);
    else this.#ailing.set(index, ailment);
    this.#onAilment();
  }

  /** All is well again. */
  cure(): void {
    this.weather = FINE_ENGINE;
    this.lostGpus.clear();
    for (const index of [...this.#ailing.keys()]) this.ail(index, null);
  }

  /** What the runner finds out about its GPUs. */
  health(runner: Process): Pick<GpuHealth, "ailing" | "watch"> {
    const ailing = () => [...this.#ailing].map(([index, ailment]) => ({ index, ailment }));
    return {
      get ailing() {
        return ailing();
      },
      watch: (signal, changed) => {
        this.#onAilment = () => runner.enter(changed);
        return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
      },
    };
  }

  /** The engine of a runner on this machine. */
  engine(runner: Process): Engine {
    return {
      start: (assignment, context) => this.#start(runner, assignment, context),
      left: this.#left(runner),
      settled: () => {},
      close: () => Promise.resolve(),
    };
  }

  async #start(runner: Process, assignment: Assignment, { signal, bundle }: StartContext): Promise<Guest> {
    await bundle(assignment.bundle);
    const { weather } = this;
    await runner.clock.sleep(this.#dice.between(...weather.startMs), signal);
    if (signal.aborted) throw new StartError("It was stopped while it started");
    if (this.#dice.chance(weather.fails)) throw new StartError("The machine could not start it");
    if (this.#dice.chance(weather.hangs)) return await new Promise(() => {});
    return this.#held(this.#spawn(runner, assignment), runner);
  }

  #left(runner: Process): Left {
    const all = () => this.guests.filter(({ isLeft }) => isLeft);
    return {
      ids: all().map(({ assignment: { id } }) => id),
      adopt: ({ id }) => {
        const guest = this.guest(id);
        if (!guest?.isLeft) return Promise.reject(new StartError("It has ended meanwhile"));
        this.#ports.story.tell(this.shape.name, `guest of ${id} has another runner`);
        guest.resume(runner);
        return Promise.resolve(this.#held(guest, runner));
      },
      spare: (ids) => {
        for (const guest of all()) if (!ids.includes(guest.assignment.id)) guest.vanish();
        return Promise.resolve();
      },
    };
  }

  #held(guest: SimulatedGuest, runner: Process): Guest {
    runner.onEnd(() => guest.orphan());
    return guest.asGuest();
  }

  #spawn(runner: Process, assignment: Assignment): SimulatedGuest {
    const { timeline, story } = this.#ports;
    const guest: SimulatedGuest = new SimulatedGuest(assignment, {
      timeline,
      runner,
      resumeMs: this.#keeps ? RESUME_MS : null,
      loadMs: this.#dice.between(...this.weather.loadMs),
      broken: assignment.spec.env.BROKEN ?? null,
      dieMs: () => this.#dice.between(...this.weather.dieMs),
      ended: () => {
        story.tell(this.shape.name, `guest of ${assignment.id} ends`);
        this.#guests.delete(assignment.id);
      },
    });
    story.tell(this.shape.name, `guest of ${assignment.id} begins`);
    this.#guests.set(assignment.id, guest);
    this.#checkShares();
    return guest;
  }

  /** No GPU is held twice, whatever the store says. */
  #checkShares(): void {
    for (const { index } of this.shape.gpus) {
      const holders = this.guests.map(({ assignment: { id, gpus } }) => ({
        id,
        milli: gpus.find((share) => share.index === index)?.milli ?? 0,
      })).filter(({ milli }) => milli > 0);
      if (holders.reduce((sum, { milli }) => sum + milli, 0) <= 1_000) continue;
      const who = holders.map(({ id, milli }) => `${id} (${milli})`).join(", ");
      this.#ports.violated(`processes hold more than there is of gpu ${index} of ${this.shape.name}: ${who}`);
    }
  }
}
