/**
 * Bugs, planted into the statements of the store on their way to the database, to see that the simulation catches each kind. Production
 * code knows nothing of them.
 */
import type { Rewrite } from "./database/statement.ts";

export interface Mutant {
  /** What goes wrong. */
  readonly bug: string;
  readonly rewrite: Rewrite;
  /** How it is caught. */
  readonly caughtAs: RegExp;
}

export const MUTANTS: readonly Mutant[] = [
  {
    bug: "a claimed range goes on waiting, so that a call is placed twice",
    rewrite: replacing("and locked.cut = locked.hi", "and false"),
    caughtAs: /no call is in two places|a lease counts what remains/,
  },
  {
    bug: "what a lost container had is not queued again",
    rewrite: replacing("from islands group by", "from islands where false group by"),
    caughtAs: /no call is lost/,
  },
  {
    bug: "the report of a closed lease is accepted",
    rewrite: both(
      replacing(/ and remaining > 0(\s+order by id for update\s+\),\s+ended as)/, "$1"),
      replacing(
        "set remaining = remaining - counted.n",
        "set remaining = greatest(0, remaining - counted.n)",
      ),
    ),
    caughtAs: /no call is in two places|a result is that of the last attempt|a lease counts what remains/,
  },
  {
    bug: "a schedule moves on without its call",
    rewrite: replacing(
      "from asked where not skipped",
      "from asked where not skipped and schedule_id is null",
    ),
    caughtAs: /a tick was missed/,
  },
  {
    bug: "a due schedule is not looked at",
    rewrite: replacing("where schedule.id = moves.id and", "where false and"),
    caughtAs: /a due schedule was left/,
  },
  {
    bug: "the GPU of a container that has ended is not free again",
    rewrite: replacing("milli_free + back.milli", "milli_free"),
    caughtAs: /gpus are accounted for/,
  },
  {
    bug: "two leaders commit plans",
    rewrite: replacing(") as leads", ") or true as leads"),
    caughtAs: /two leaders plan at once/,
  },
];

function replacing(what: string | RegExp, by: string): Rewrite {
  return (text) => text.replace(what, by);
}

function both(first: Rewrite, second: Rewrite): Rewrite {
  return (text) => second(first(text));
}
