/** What a machine has running, stopped in the reverse order of its starts: the runner can still report, and the api still store. */
import { CliError, EXIT } from "../../sdk/cli/failure.ts";
import { type KeepOptions, Kept } from "./keep.ts";

export class Parts implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly #kept: Kept[] = [];
  readonly #kills: (() => void)[] = [];

  /** Remembers how a part is stopped, and, where it has processes, how they are killed. */
  add(stop: () => void | Promise<void>, kill?: () => void): void {
    this.#stack.defer(stop);
    if (kill !== undefined) this.#kills.push(kill);
  }

  /** Starts a process and keeps it running. */
  async keep(options: KeepOptions): Promise<void> {
    try {
      const kept = await Kept.start(options);
      this.#kept.push(kept);
      this.#stack.use(kept);
    } catch (cause) {
      throw new CliError(EXIT.platform, (cause as Error).message, { cause });
    }
  }

  /** Kills the processes without ceremony. PostgreSQL takes the signal for its immediate shutdown. */
  kill(): void {
    for (const end of this.#kills) end();
    for (const { pid } of this.#kept) {
      try {
        Deno.kill(pid, "SIGQUIT");
      } catch {
        // It has ended already.
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}
