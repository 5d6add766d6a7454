/**
 * Something that runs as a process, dies, and is started again, as a supervisor would: an api, a scheduler, a runner. Each life is a
 * process of its own, which remembers nothing of the one before.
 */
import type { Process } from "./process.ts";
import type { Story } from "./story.ts";
import type { Timeline } from "./timeline.ts";

/** What a started process knows how to do. */
export interface Life {
  /** Settles when it has ended by itself, for good. */
  readonly ended?: Promise<unknown>;
  /** Ends in order; resolves when it has. */
  stop(): Promise<void>;
}

export interface ServiceOptions {
  readonly name: string;
  readonly timeline: Timeline;
  readonly story: Story;
  /** A process for its next life. */
  readonly process: (life: number) => Process;
  /** Begins to work in a process. */
  readonly start: (process: Process) => Promise<Life>;
  /** It has one life. */
  readonly mortal: boolean;
}

/** The supervisor's pause. */
const RESTART_MS = 500;

export class Service {
  readonly name: string;
  readonly #options: ServiceOptions;
  #lives = 0;
  #process: Process | null = null;
  #life: Life | null = null;
  #kept = false;

  constructor(options: ServiceOptions) {
    this.name = options.name;
    this.#options = options;
  }

  get process(): Process | null {
    return this.#process;
  }

  /** Starts it, and starts it again when it ends by itself. */
  start(): void {
    this.#kept = true;
    if (this.#process !== null || (this.#options.mortal && this.#lives > 0)) return;
    const process = this.#process = this.#options.process(++this.#lives);
    this.#options.start(process).then((life) => this.#begin(process, life), (error) => {
      this.#options.story.tell(this.name, `could not start: ${error}`);
      this.kill();
      this.startAfter(RESTART_MS);
    });
  }

  #begin(process: Process, life: Life): void {
    this.#life = life;
    const over = (why: string) => {
      if (this.#process !== process) return;
      this.#options.story.tell(this.name, `has ended${why}`);
      this.kill();
    };
    life.ended?.then(() => over(""), (error) => over(`: ${error.message}`));
  }

  startAfter(ms: number): void {
    this.#kept = true;
    this.#options.timeline.after(ms, () => {
      if (this.#kept) this.start();
    });
  }

  /** Ends it at once, as `kill -9`. */
  kill(): void {
    if (this.#process === null) return;
    this.#options.story.tell(this.name, "is killed");
    this.#process.kill();
    this.#process = null;
    this.#life = null;
    this.#kept = false;
  }

  /** Ends it in order. */
  async stop(): Promise<void> {
    if (this.#life === null) return this.kill();
    const process = this.#process!;
    this.#kept = false;
    this.#options.story.tell(this.name, "is told to stop");
    const life = this.#life;
    await new Promise<void>((resolve) => {
      process.onEnd(resolve);
      process.enter(() => void life.stop().then(resolve));
    });
    if (this.#process === process) this.kill();
  }
}
