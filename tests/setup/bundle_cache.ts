/** Bundles of a runner under test. */
import { BundleCache } from "../../runner/cache.ts";
import { Shelf } from "../../runner/engines/shelf.ts";
import { realSpawn } from "../../runner/engines/spawn.ts";
import { realClock, silentLog } from "../../sdk/ports.ts";

export const bundleShelf = (folder: string, budgetMiB: number): Shelf =>
  new Shelf({ folder, budgetMiB, spawn: realSpawn, clock: realClock, log: silentLog });

export const bundleCache = (folder: string): BundleCache => new BundleCache(bundleShelf(folder, 1_000));
