/** The quickstart as a story: steps that each take their time, end in an outcome, and make a row of the last table. */
import type { Output } from "../../cli/output.ts";
import { type Column, table } from "../../cli/table.ts";
import { span } from "../../cli/words.ts";
import type { Clock } from "../../ports.ts";

/** What a step has to tell. */
export interface Outcome {
  readonly what: string;
  readonly gpuSeconds?: number;
  readonly latency?: string;
  readonly accuracy?: string;
}

interface Row extends Outcome {
  readonly step: string;
  readonly tookMs: number;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: "step", text: ({ step }) => step },
  { title: "what happened", text: ({ what }) => what },
  { title: "took", text: ({ tookMs }) => span(tookMs), align: "right" },
  { title: "GPU-seconds", text: ({ gpuSeconds }) => gpuSeconds?.toFixed(1) ?? "", align: "right" },
  { title: "latency", text: ({ latency = "" }) => latency },
  { title: "accuracy", text: ({ accuracy = "" }) => accuracy },
];

/** Tells steps as they happen. */
export class Story {
  readonly output: Output;
  readonly clock: Clock;
  readonly #rows: Row[] = [];
  readonly #startedAt: number;
  /** The step that runs, or ran last. */
  step = "";

  constructor(output: Output, clock: Clock) {
    this.output = output;
    this.clock = clock;
    this.#startedAt = clock.now();
  }

  /** Runs one step. What it throws ends the story. */
  async tell<T extends Outcome>(step: string, run: () => Promise<T>): Promise<T> {
    this.step = step;
    this.output.status(`  ${step} …`);
    const startedAt = this.clock.now();
    const outcome = await run();
    const row = { ...outcome, step, tookMs: this.clock.now() - startedAt };
    this.#rows.push(row);
    this.output.clearStatus();
    this.output.print(
      `${this.output.paint("green", "✓")} ${step.padEnd(10)} ${
        span(row.tookMs).padStart(7)
      }  ${outcome.what}`,
    );
    return outcome;
  }

  /** Something worth a line within a step. */
  aside(text: string): void {
    this.output.print(this.output.paint("dim", `  ${"".padEnd(18)}  ${text}`));
  }

  /** How far a step is: in place on a terminal; elsewhere a line, when it is a milestone. */
  progress(text: string, milestone: boolean): void {
    this.output.status(`  ${this.step} … ${text}`);
    if (!this.output.live && milestone) this.aside(text);
  }

  /** All steps as a table. */
  table(): string {
    const strong = (text: string) => this.output.paint("bold", text);
    return table(this.#rows, COLUMNS, { columns: Infinity, strong });
  }

  get tookMs(): number {
    return this.clock.now() - this.#startedAt;
  }
}
