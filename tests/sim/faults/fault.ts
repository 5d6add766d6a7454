/** What goes wrong. A fault is one kind of trouble; adding one is a file here and a name in mod.ts. */
import type { Dice } from "../dice.ts";
import type { World } from "../world.ts";

export interface Fault {
  readonly name: string;
  /** How long it is quiet between two strikes, about. Absent: it strikes once, at the beginning. */
  readonly everyMs?: number;
  strike(world: World, dice: Dice): void | Promise<void>;
}
