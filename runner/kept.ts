/**
 * What is left of containers that failed, kept for those who want to look into them: files, and the environment to run commands in.
 * It takes no GPU and no memory. Nothing is kept beyond its time, nor beyond the life of this runner's session.
 */
import { parseDuration } from "../sdk/duration.ts";
import type { Clock, Log } from "../sdk/ports.ts";
import type { Assignment, ExecCommand, Exit, KeptContainer } from "../sdk/protocol.ts";
import { Commands } from "./commands.ts";
import type { Exec, Guest, Remains } from "./engine.ts";

export interface KeptDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Something is kept, or is no more. */
  changed(): void;
}

interface Held {
  readonly app: string;
  readonly function: string;
  readonly until: number;
  readonly remains: Remains;
  readonly commands: Commands;
}

/** Ends that somebody may want to look into; the others are nobody's fault. */
const FAILURES: readonly Exit["kind"][] = ["user_error", "out_of_memory", "timeout", "start_failed"];
/** Of one function: one that fails in a loop must not fill the disk. The latest are kept. */
const EACH_MAX = 3;

export class Kept {
  readonly #deps: KeptDeps;
  readonly #held = new Map<string, Held>();
  readonly #leaving = new Set<Promise<void>>();

  constructor(deps: KeptDeps) {
    this.#deps = deps;
  }

  /** The container has ended: keeps what is left of it where its function asks for that, and removes it else. */
  async retire({ id, app, spec }: Assignment, guest: Guest, exit: Exit): Promise<void> {
    const { keepOnFailure } = spec;
    if (keepOnFailure === undefined || guest.keep === undefined || !FAILURES.includes(exit.kind)) {
      return await guest.release();
    }
    const { clock, log } = this.#deps;
    const until = clock.now() + parseDuration(keepOnFailure);
    const remains = await guest.keep();
    this.#held.set(id, { app, function: spec.name, until, remains, commands: new Commands() });
    log("container.kept", { container: id, for: keepOnFailure });
    const same = [...this.#held].filter(([, held]) => held.app === app && held.function === spec.name);
    this.discard(same.slice(0, -EACH_MAX).map(([id]) => id));
    this.#deps.changed();
  }

  get observed(): KeptContainer[] {
    const now = this.#deps.clock.now();
    return [...this.#held].map(([id, { until }]) => ({ id, leftMs: Math.max(0, Math.round(until - now)) }));
  }

  /** Where commands can be run in what is left of a container. */
  host(id: string): { exec(command: ExecCommand): Promise<Exec> } | undefined {
    const held = this.#held.get(id);
    return held && { exec: (command) => held.commands.add(held.remains.exec(command)) };
  }

  discard(ids: readonly string[]): void {
    for (const id of ids) this.#discard(id);
  }

  /** What must happen because time has passed. */
  tick(now: number): void {
    for (const [id, { until }] of this.#held) if (now >= until) this.#discard(id);
  }

  /** Removes all of it. */
  async close(): Promise<void> {
    for (const id of [...this.#held.keys()]) this.#discard(id);
    await Promise.all(this.#leaving);
  }

  #discard(id: string): void {
    const held = this.#held.get(id);
    if (held === undefined) return;
    this.#held.delete(id);
    held.commands.end();
    const leaving = held.remains.release().catch((error) => {
      this.#deps.log("container.not_removed", { container: id, error: String(error) });
    }).finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
    this.#deps.log("container.discarded", { container: id });
    this.#deps.changed();
  }
}
