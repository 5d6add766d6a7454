/** Commands that run in one place, and end with it. */
import type { Exec } from "./engine.ts";

export class Commands {
  readonly #running = new Set<Exec>();
  #over = false;

  /** Looks after a command that begins. */
  async add(starting: Promise<Exec>): Promise<Exec> {
    const exec = await starting;
    if (this.#over) exec.kill();
    this.#running.add(exec);
    exec.exited.then(() => this.#running.delete(exec));
    return exec;
  }

  /** Kills them, and those that are just beginning. */
  end(): void {
    this.#over = true;
    for (const exec of this.#running) exec.kill();
  }
}
