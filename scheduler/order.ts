/** Who is placed first. Pure. */

/** A container that a function lacks. */
export interface Claimant {
  readonly functionId: number;
  readonly priority: number;
  /** How many containers the function has or would have before this one. */
  readonly nth: number;
  /** Since when its calls or requests wait without a container; Infinity when none wait. */
  readonly since: number;
}

/**
 * Higher priority first. Then a function's first container before another's second, so that a long queue does not shut out a
 * short one. Then the longest wait. The function's id makes the order total.
 */
export const inOrder = <T extends Claimant>(claimants: readonly T[]): T[] =>
  [...claimants].sort((a, b) =>
    b.priority - a.priority || a.nth - b.nth || a.since - b.since || a.functionId - b.functionId
  );
