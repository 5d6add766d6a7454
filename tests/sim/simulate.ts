/**
 * One seed from beginning to end. First everything goes wrong that its faults can do, and no invariant may ever break; then nothing goes
 * wrong any more, and everything accepted must end and everything idle be gone.
 */
import { disagreements } from "./audit/outcomes.ts";
import { updateWorkspace } from "../../scheduler/store/workspaces.ts";
import { Leadership } from "./audit/leadership.ts";
import { leftovers } from "./audit/rest.ts";
import { Ticks } from "./audit/ticks.ts";
import { WorldAudit } from "./audit/world.ts";
import type { Watcher } from "./database/database.ts";
import type { Sessions } from "./database/sessions.ts";
import type { Rewrite } from "./database/statement.ts";
import { torment } from "./faults/mod.ts";
import type { Telling } from "./story.ts";
import { EPOCH } from "./timeline.ts";
import { World } from "./world.ts";

export interface Simulation {
  readonly seed: number;
  readonly telling?: Telling;
  /** Plants a bug. */
  readonly rewrite?: Rewrite;
}

export interface Report {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly digest: string;
  readonly virtualMs: number;
  readonly wallMs: number;
  readonly events: number;
  readonly statements: number;
  readonly requests: number;
  readonly calls: number;
  readonly audits: number;
}

/** Long enough for a node to be given up, a start to time out and a call to be tried to the end; each in turn. */
const PEACE_MS_MAX = 300_000;
const LOOK_MS = 1_000;
const NO_QUOTAS = { weight: 100, gpus: null, maxGpus: null, cpu: null, maxCpu: null, maxQueued: null };

export async function simulate(
  { seed, telling = "nothing", rewrite = (text) => text }: Simulation,
  sessions: Sessions,
): Promise<Report> {
  const started = performance.now();
  const watchers: Watcher[] = [];
  const world = new World({ seed, sessions, telling, rewrite, watchers });
  const violated = (what: string) => world.violate(what);
  const audit = new WorldAudit(sessions, violated);
  watchers.push(audit, new Leadership(violated), new Ticks(sessions, violated), {
    deadlocked: (units) => violated(`transactions wait for one another: ${units.join(" | ")}`),
  });
  const strayed = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    violated(`nobody caught ${(event.reason as Error)?.stack ?? event.reason}`);
  };
  globalThis.addEventListener("unhandledrejection", strayed);
  try {
    await live(world, sessions);
  } finally {
    globalThis.removeEventListener("unhandledrejection", strayed);
  }
  const { timeline, story, violations, database, network, ledger } = world;
  return {
    seed,
    violations,
    digest: story.digest,
    virtualMs: timeline.now - EPOCH,
    wallMs: performance.now() - started,
    events: timeline.events,
    statements: database.statements,
    requests: network.requests,
    calls: ledger.wishes.length,
    audits: audit.audits,
  };
}

async function live(world: World, sessions: Sessions): Promise<void> {
  const { timeline, violations, dice, crowd } = world;
  const broken = () => violations.length > 0;
  const troubleMs = dice.chance(0.12) ? dice.between(30_000, 70_000) : dice.between(4_000, 15_000);
  const peaceAt = EPOCH + troubleMs;
  await prepare(world, sessions);
  for (const service of world.services) service.start();
  crowd.work(peaceAt);
  torment(world, peaceAt);
  await timeline.run(broken, peaceAt);
  world.calm();
  crowd.retire(); // containers that are kept warm may hold for ever what others wait for
  const left = async () => crowd.doing.length > 0 ? crowd.doing : await leftovers(sessions, world);
  await settle(world, () => Promise.resolve(crowd.doing));
  crowd.retire(); // some deployment was under way
  await settle(world, left);
  if (!broken()) { for (const what of await disagreements(sessions, world.ledger)) world.violate(what); }
}

/** What is settled before anything happens. */
async function prepare({ topology }: World, sessions: Sessions): Promise<void> {
  for (const { name, ...settings } of topology.workspaces) {
    await updateWorkspace(sessions.watch, name, { ...NO_QUOTAS, ...settings });
  }
}

/** Lets time pass until nothing is left. */
async function settle(world: World, left: () => Promise<readonly string[]>): Promise<void> {
  const { timeline, violations } = world;
  const until = timeline.now + PEACE_MS_MAX;
  const broken = () => violations.length > 0;
  while (!broken()) {
    await timeline.run(broken, timeline.now + LOOK_MS);
    const remains = await left();
    if (remains.length === 0) return;
    if (timeline.now >= until) {
      world.violate(`after ${PEACE_MS_MAX / 1_000} s of peace there are still ${remains.join(", ")}`);
    }
  }
}
