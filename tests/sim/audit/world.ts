/** After each commit that changed what the invariants of scheduler/check.ts speak of: whether they still hold. */
import type { Connection, Unit } from "../database/connection.ts";
import type { Watcher } from "../database/database.ts";
import type { Sessions } from "../database/sessions.ts";
import { auditOf } from "../../setup/audit.ts";

/** Statements after which the world is read. The lease of a node says nothing about who has what. */
const MATTERS =
  /\b(insert into|update|delete from) (container|gpu|ready|lease|part|result|attempt|given_back|batch)\b|_free = /;

export class WorldAudit implements Watcher {
  readonly #sessions: Sessions;
  readonly #violated: (what: string) => void;
  audits = 0;

  constructor(sessions: Sessions, violated: (what: string) => void) {
    this.#sessions = sessions;
    this.#violated = violated;
  }

  async committed({ process, name }: Connection, units: readonly Unit[]): Promise<void> {
    if (!units.some(({ text }) => MATTERS.test(text))) return;
    this.audits++;
    for (const what of await auditOf(this.#sessions.watch)) {
      this.#violated(`${what} (after a commit of ${process.name}, ${name})`);
    }
  }
}
