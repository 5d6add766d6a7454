/**
 * Schedules fire each tick once and miss none: whatever a leader saw as due has moved on when its plan is committed, and whenever a
 * schedule moves on, the last tick that it passed has its call. (That no tick has two is a constraint of the store.)
 */
import type { Connection, Unit } from "../database/connection.ts";
import type { Ran, Watcher } from "../database/database.ts";
import type { Sessions } from "../database/sessions.ts";
import { isSnapshot } from "./leadership.ts";

interface Due {
  readonly id: string;
  readonly nextAt: string;
}

interface Row {
  readonly id: string;
  readonly cron: string;
  readonly nextAt: Date | null;
}

export class Ticks implements Watcher {
  readonly #sessions: Sessions;
  readonly #violated: (what: string) => void;
  readonly #due = new Map<Connection, readonly Due[]>();
  readonly #next = new Map<string, number>();

  constructor(sessions: Sessions, violated: (what: string) => void) {
    this.#sessions = sessions;
    this.#violated = violated;
  }

  ran({ connection, unit, outcome }: Ran): void {
    if (!isSnapshot(unit) || "error" in outcome) return;
    this.#due.set(connection, (outcome.rows[0] as unknown as { schedules: Due[] }).schedules);
  }

  over(connection: Connection): void {
    this.#due.delete(connection);
  }

  async committed(connection: Connection, units: readonly Unit[]): Promise<void> {
    const led = units.some(isSnapshot);
    if (!units.some(({ text }) => /\b(insert into|update) schedule\b/.test(text)) && !led) return;
    const rows = await this.#sessions.watch<Row[]>`select id, cron, next_at from schedule`;
    if (led) this.#checkDue(connection, rows);
    for (const row of rows) await this.#checkMove(row);
  }

  #checkDue(connection: Connection, rows: readonly Row[]): void {
    for (const { id, nextAt } of this.#due.get(connection) ?? []) {
      const now = rows.find((row) => row.id === id)?.nextAt ?? null;
      if (now?.getTime() !== Date.parse(nextAt)) continue;
      this.#violated(
        `a due schedule was left: ${id}, due at ${nextAt}, when ${connection.process.name} had planned`,
      );
    }
  }

  async #checkMove({ id, cron, nextAt }: Row): Promise<void> {
    const before = this.#next.get(id);
    const next = nextAt?.getTime();
    if (next === undefined) return void this.#next.delete(id);
    this.#next.set(id, next);
    if (before === undefined || before === next) return;
    const passed = lastTickBefore(cron, next);
    const [fired] = await this.#sessions.watch`
      select from batch where schedule_id = ${id} and tick_at = ${new Date(passed)}`;
    if (fired !== undefined && passed >= before) return;
    this.#violated(`a tick was missed: ${id} went from ${at(before)} to ${at(next)} without ${at(passed)}`);
  }
}

const at = (instant: number): string => new Date(instant).toISOString().slice(11, 19);

/** Of a cron that names every so many seconds of each minute; told without the calendar that the scheduler uses. */
function lastTickBefore(cron: string, instant: number): number {
  const every = Number(/^\*\/(\d+) /.exec(cron)![1]);
  let second = Math.floor(instant / 1_000) - 1;
  while (second % 60 % every !== 0) second--;
  return second * 1_000;
}
