/** Which container takes the next request. Pure. */
import type { RouteContainer } from "./routes.ts";

/**
 * Of two containers drawn by chance, the one with fewer requests in flight: nearly as even as looking at all of them (Mitzenmacher,
 * "The Power of Two Choices"), and gateways that don't know of each other's requests still don't all choose the same one. Null when
 * none has a free slot.
 *
 * @param random uniform in [0, 1)
 */
export function pick(
  containers: readonly RouteContainer[],
  free: (container: RouteContainer) => number,
  random: () => number,
): RouteContainer | null {
  const n = containers.length;
  if (n === 0) return null;
  const a = containers[Math.floor(random() * n)]!;
  const b = n === 1 ? a : containers[Math.floor(random() * n)]!;
  const best = free(b) > free(a) ? b : a;
  if (free(best) > 0) return best;
  return containers.find((container) => free(container) > 0) ?? null;
}
