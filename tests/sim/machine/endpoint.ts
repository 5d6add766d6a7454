/** A connection of a gateway to the endpoints of a guest: HTTP/1.1 over nothing. */
import type { Socket } from "../../../api/gateway/connection.ts";
import type { Process } from "../process.ts";
import type { Timeline } from "../timeline.ts";

/** The side of the guest. */
export interface Answering {
  readonly container: string;
  /** Called once per request; takes `ms`, then `done` has the answer sent. */
  serve(ms: number, done: () => void): void;
}

const WAY_MS = 0.2;

export class EndpointSocket implements Socket {
  readonly #timeline: Timeline;
  /** The gateway. */
  readonly #process: Process;
  readonly #answering: Answering;
  #request = "";
  #unread: Uint8Array[] = [];
  #arrived = Promise.withResolvers<void>();
  #over = false;

  constructor(timeline: Timeline, process: Process, answering: Answering) {
    this.#timeline = timeline;
    this.#process = process;
    this.#answering = answering;
  }

  async read(into: Uint8Array): Promise<number | null> {
    while (this.#unread.length === 0 && !this.#over) {
      await this.#arrived.promise;
      this.#arrived = Promise.withResolvers();
    }
    const part = this.#unread.shift();
    if (part === undefined) return null;
    into.set(part);
    return part.length;
  }

  write(bytes: Uint8Array): Promise<number> {
    if (this.#over) return Promise.reject(new Error("Broken pipe"));
    this.#request += new TextDecoder().decode(bytes);
    const end = this.#request.indexOf("\r\n\r\n");
    if (end !== -1) {
      const head = this.#request.slice(0, end);
      this.#request = this.#request.slice(end + 4);
      this.#timeline.after(WAY_MS, () => this.#answer(head));
    }
    return Promise.resolve(bytes.length);
  }

  /** Of the gateway's end. */
  close(): void {
    this.#over = true;
    this.#arrived.resolve();
  }

  /** Of the guest's end. */
  hangUp(): void {
    this.#process.enter(() => this.close());
  }

  #answer(head: string): void {
    const ms = Number(/[?&]ms=(\d+)/.exec(head.split("\r\n")[0]!)?.[1] ?? 1);
    this.#answering.serve(ms, () => {
      const body = this.#answering.container;
      const text = `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
      this.#timeline.after(WAY_MS, () =>
        this.#process.enter(() => {
          this.#unread.push(new TextEncoder().encode(text));
          this.#arrived.resolve();
        }));
    });
  }
}
