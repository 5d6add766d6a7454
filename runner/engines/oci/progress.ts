/** What of a pull or push is worth telling a person: how far it is, now and then. Pure. */
import type { Told } from "./json_lines.ts";

const MB = 1e6;
/** Told again when this much of the whole has come since. */
const STEP = 0.2;

export class PullProgress {
  readonly #image: string;
  readonly #doing: "Pulling" | "Pushing";
  readonly #layers = new Map<string, { readonly current: number; readonly total: number }>();
  #told = 0;

  constructor(image: string, doing: "Pulling" | "Pushing" = "Pulling") {
    this.#image = image;
    this.#doing = doing;
  }

  /** A line when there is something new to say, else null. */
  push({ status, id, progressDetail }: Told): string | null {
    const { current, total } = progressDetail ?? {};
    const moving = this.#doing === "Pulling" ? "Downloading" : "Pushing";
    if (status !== moving || id === undefined || current === undefined || total === undefined) {
      return null;
    }
    this.#layers.set(id, { current, total });
    const sum = [...this.#layers.values()].reduce((a, b) => ({
      current: a.current + b.current,
      total: a.total + b.total,
    }));
    if (sum.total < MB || sum.current / sum.total < this.#told + STEP) return null;
    this.#told = sum.current / sum.total;
    return `${this.#doing} ${this.#image}: ${Math.round(sum.current / MB)} of ${
      Math.round(sum.total / MB)
    } MB`;
  }
}
