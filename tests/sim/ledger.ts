/** What clients asked for and what they saw: held against the store at the end. */
import type { Deed } from "./machine/deed.ts";

/** How a call ended, as its client saw it. */
export type Seen = { readonly value: unknown } | { readonly failure: string };

/** One call that a client made or tried to make. */
export interface Wish {
  readonly deed: Deed;
  readonly workspace: string;
  readonly app: string;
  readonly function: string;
  /** The client asked to cancel it, or may have, when it gave up. */
  mayCancel: boolean;
  readonly mayExpire: boolean;
  /** Another call of its container may have taken it down. */
  mayFailWithOthers(): boolean;
  /** Its function may have been taken away by a redeploy. */
  mayLoseFunction(): boolean;
  /** When the platform had said that it has it. */
  accepted: boolean;
  seen: Seen | null;
}

export class Ledger {
  readonly wishes: Wish[] = [];
  /** Calls whose end their clients still wait for. */
  open = 0;

  wish(of: Omit<Wish, "deed" | "accepted" | "seen"> & { readonly deed: Omit<Deed, "n"> }): Wish {
    const wish: Wish = { ...of, deed: { ...of.deed, n: this.wishes.length }, accepted: false, seen: null };
    this.wishes.push(wish);
    return wish;
  }
}
