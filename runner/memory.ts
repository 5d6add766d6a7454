/** When to look at a container's memory, and when it is too much. Pure. */

/** The fastest growth that is caught before it does harm: 2 MiB a millisecond is what one core can fill. */
const GROWTH_MIB_PER_MS = 2;
const LOOK_MS_MIN = 50;
const LOOK_MS_MAX = 1_000;

/** Looks the more often, the nearer the limit is. */
export class MemoryWatch {
  readonly #limitMiB: number;
  #nextAt = 0;
  /** As it was last seen. */
  seenMiB = 0;

  constructor(limitMiB: number) {
    this.#limitMiB = limitMiB;
  }

  due(now: number): boolean {
    return now >= this.#nextAt;
  }

  /** Notes what is used now; true when it is above the limit. */
  exceeded(usedMiB: number, now: number): boolean {
    this.seenMiB = usedMiB;
    const headroomMs = (this.#limitMiB - usedMiB) / GROWTH_MIB_PER_MS;
    this.#nextAt = now + Math.min(LOOK_MS_MAX, Math.max(LOOK_MS_MIN, headroomMs));
    return usedMiB > this.#limitMiB;
  }
}
