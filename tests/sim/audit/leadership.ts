/** Whoever reads a snapshot to plan by has the world to itself until its plan is committed: no two such transactions overlap. */
import type { Connection, Unit } from "../database/connection.ts";
import type { Ran, Watcher } from "../database/database.ts";

/** The one statement that only a leader runs. */
export const isSnapshot = ({ text }: Unit): boolean =>
  text.endsWith("as last_lease") && text.startsWith("with ");

export class Leadership implements Watcher {
  readonly #leaders = new Set<Connection>();
  readonly #violated: (what: string) => void;
  /** Ticks that a leader took. */
  ticks = 0;

  constructor(violated: (what: string) => void) {
    this.#violated = violated;
  }

  ran({ connection, unit, outcome }: Ran): void {
    if (!isSnapshot(unit) || "error" in outcome) return;
    this.ticks++;
    this.#leaders.add(connection);
    if (this.#leaders.size === 1) return;
    const names = [...this.#leaders].map(({ process }) => process.name).join(" and ");
    this.#violated(`two leaders plan at once: ${names}`);
  }

  over(connection: Connection): void {
    this.#leaders.delete(connection);
  }
}
