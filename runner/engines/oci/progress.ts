/** What of a pull is worth telling a person: how far it is, now and then. Pure. */
import type { Told } from "./json_lines.ts";

const MB = 1e6;
/** Told again when this much of the whole has come since. */
const STEP = 0.2;

export class PullProgress {
  readonly #image: string;
  readonly #layers = new Map<string, { readonly current: number; readonly total: number }>();
  #told = 0;

  constructor(image: string) {
    this.#image = image;
  }

  /** A line when there is something new to say, else null. */
  push({ status, id, progressDetail }: Told): string | null {
    const { current, total } = progressDetail ?? {};
    if (status !== "Downloading" || id === undefined || current === undefined || total === undefined) {
      return null;
    }
    this.#layers.set(id, { current, total });
    const sum = [...this.#layers.values()].reduce((a, b) => ({
      current: a.current + b.current,
      total: a.total + b.total,
    }));
    if (sum.total <= 0 || sum.current / sum.total < this.#told + STEP) return null;
    this.#told = sum.current / sum.total;
    return `Pulling ${this.#image}: ${Math.round(sum.current / MB)} of ${Math.round(sum.total / MB)} MB`;
  }
}
