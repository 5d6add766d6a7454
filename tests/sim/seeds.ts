/** Seeds that found something, and what. They are run always. */
export const SEEDS: readonly { readonly seed: number; readonly found: string }[] = [];
