/** Seeds that found something, and what. They are run always. */
export const SEEDS: readonly { readonly seed: number; readonly found: string }[] = [
  { seed: 109, found: "a plan that replaced what drains beside it, beyond scale.max" },
  { seed: 226, found: "a rank given anew in the plan that gave its node up" },
];
