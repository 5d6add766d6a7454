/** A bar with the loss, for both trainings. */
import type { EventItem } from "berth";
import { progressBar } from "../../cli/progress_bar.ts";
import type { Story } from "./story.ts";

/** Reports come before the progress that they belong to. */
export class TrainingBar {
  readonly #story: Story;
  #loss = "";

  constructor(story: Story) {
    this.#story = story;
  }

  show(event: EventItem): void {
    if (event.kind === "report") this.#loss = lossOf(event);
    if (event.kind !== "progress") return;
    const [done, total] = [Number(event.done), Number(event.total)];
    this.#story.progress(`${progressBar(done, total)}  loss ${this.#loss}`, done % 4 === 0);
  }
}

export const lossOf = (event: EventItem): string => Number(event.loss).toFixed(4);
