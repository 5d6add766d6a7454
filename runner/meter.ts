/** What a container uses: its memory, watched against its limit, and its CPU time. */
import type { Guest } from "./engine.ts";

/** The fastest growth that is caught before it does harm: 2 MiB a millisecond is what one core can fill. */
const GROWTH_MIB_PER_MS = 2;
const LOOK_MS_MIN = 50;
const LOOK_MS_MAX = 1_000;
/** CPU time is counted by the kernel in steps of this length. */
const CPU_STEP_MS = 10;

type Used = Pick<Guest, "usage"> | null;

export class Meter {
  readonly #limitMiB: number;
  #lookAt = 0;
  #cpu = { us: 0, at: -Infinity };
  /** What the start took, which no call is charged for. */
  #startUs = 0;
  /** Memory as it was last seen. */
  seenMiB = 0;

  constructor(limitMiB: number) {
    this.#limitMiB = limitMiB;
  }

  /** Whether more memory is used than may be. Looks the more often, the nearer the limit is. */
  exceeds(guest: Used, now: number): boolean {
    const usage = now < this.#lookAt ? null : guest?.usage() ?? null;
    if (usage === null) return false;
    this.seenMiB = usage.memoryMiB;
    const headroomMs = (this.#limitMiB - usage.memoryMiB) / GROWTH_MIB_PER_MS;
    this.#lookAt = now + Math.min(LOOK_MS_MAX, Math.max(LOOK_MS_MIN, headroomMs));
    return usage.memoryMiB > this.#limitMiB;
  }

  /** It is ready: from now on calls are charged. */
  begin(guest: Used, now: number): void {
    this.#startUs = this.#read(guest, now);
  }

  /** CPU time since it was ready, microseconds. */
  cpuUs(guest: Used, now: number): number {
    return this.#read(guest, now) - this.#startUs;
  }

  #read(guest: Used, now: number): number {
    if (now - this.#cpu.at >= CPU_STEP_MS) this.#cpu = { us: guest?.usage()?.cpuUs ?? this.#cpu.us, at: now };
    return this.#cpu.us;
  }
}
