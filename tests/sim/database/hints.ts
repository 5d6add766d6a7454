/** LISTEN and NOTIFY: hints that take their time, and that are lost when a connection is. */
import type { Process } from "../process.ts";
import type { Timeline } from "../timeline.ts";

interface Listener {
  readonly process: Process;
  readonly channel: string;
  readonly hear: (payload: string) => void;
  readonly onListen: () => void;
  /** Its connection is away until then. */
  deafUntil: number;
}

export class Hints {
  readonly #timeline: Timeline;
  readonly #latency: () => number;
  /** Whether one hint to one listener is lost. */
  readonly #loses: () => boolean;
  #listeners: Listener[] = [];

  constructor(ports: { timeline: Timeline; latency: () => number; loses: () => boolean }) {
    ({ timeline: this.#timeline, latency: this.#latency, loses: this.#loses } = ports);
  }

  async listen(
    process: Process,
    channel: string,
    hear: (payload: string) => void,
    onListen: () => void,
  ): Promise<void> {
    const listener = { process, channel, hear, onListen, deafUntil: -Infinity };
    this.#listeners.push(listener);
    process.onEnd(() => this.#listeners = this.#listeners.filter((one) => one !== listener));
    await process.clock.sleep(2 * this.#latency());
    onListen();
  }

  async notify(process: Process, channel: string, payload: string): Promise<void> {
    this.#timeline.after(this.#latency(), () => this.#tell(channel, payload));
    await process.clock.sleep(2 * this.#latency());
  }

  /** Everybody's connection is away for a while, and is made anew then. */
  deafen(ms: number): void {
    for (const listener of this.#listeners) {
      listener.deafUntil = this.#timeline.now + ms;
      this.#timeline.after(ms + this.#latency(), () => listener.process.enter(listener.onListen));
    }
  }

  #tell(channel: string, payload: string): void {
    for (const listener of this.#listeners) {
      if (listener.channel !== channel || listener.deafUntil > this.#timeline.now || this.#loses()) continue;
      this.#timeline.after(this.#latency(), () => listener.process.enter(() => listener.hear(payload)));
    }
  }
}
