/** Knowing that all has come which a container has printed until now, by marks in its pipes. */
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { setImmediate } from "node:timers";
import type { Clock, Random } from "../../../sdk/ports.ts";
import { safely } from "../../../sdk/proc.ts";
import type { Marked } from "./attach.ts";
import { newMark } from "./marks.ts";

const STREAMS = { stdout: 1, stderr: 2 } as const;
type Stream = keyof typeof STREAMS;

/** Where no mark can be written, what comes within this time is what there is. */
const SETTLE_MS = 15;
/** Marks that take longer don't come: its first process does not have the pipes that the engine reads. */
const MARK_MS = 2_000;

export class Printed implements Marked {
  readonly mark: Marked["mark"];
  readonly #clock: Clock;
  readonly #awaited: Record<Stream, (() => void)[]> = { stdout: [], stderr: [] };
  #pipes: Readonly<Record<Stream, string>> | null = null;

  constructor({ clock, random }: { readonly clock: Clock; readonly random: Random }) {
    this.#clock = clock;
    this.mark = newMark(random);
  }

  /** Notes the pipes of its first process; before that, and where they cannot be seen, there are no marks. */
  begin(pid: number): void {
    const [stdout, stderr] = Object.values(STREAMS).map((fd) => `/proc/${pid}/fd/${fd}`);
    const pipe = (path: string) => safely(() => Deno.readLinkSync(path))?.startsWith("pipe:") ?? false;
    this.#pipes = pipe(stdout!) && pipe(stderr!) ? { stdout: stdout!, stderr: stderr! } : null;
  }

  seen(stream: Stream): void {
    this.#awaited[stream].shift()?.();
  }

  over(): void {
    this.#pipes = null;
    for (const stream of ["stdout", "stderr"] as const) {
      for (const come of this.#awaited[stream].splice(0)) come();
    }
  }

  /** Resolves once what was printed before now has been handed on. */
  async settle(): Promise<void> {
    if (this.#pipes === null) return await this.#clock.sleep(SETTLE_MS);
    const over = new AbortController();
    const late = this.#clock.sleep(MARK_MS, over.signal).then(() => "late");
    const come = await Promise.race([late, Promise.all([this.#come("stdout"), this.#come("stderr")])]);
    over.abort();
    if (come === "late") this.over();
    await new Promise<void>((resolve) => setImmediate(resolve)); // whoever reads the stream has its turn
  }

  #come(stream: Stream): Promise<void> {
    const written = safely(() => this.#write(this.#pipes![stream]));
    if (written === null) return this.#clock.sleep(SETTLE_MS); // it is full, or its process has ended
    return new Promise((resolve) => this.#awaited[stream].push(resolve));
  }

  /** Never waits, whatever has become of what was a pipe. */
  #write(path: string): void {
    const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    try {
      writeSync(fd, this.mark);
    } finally {
      closeSync(fd);
    }
  }
}
