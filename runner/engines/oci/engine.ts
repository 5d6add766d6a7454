/**
 * The oci engine: guests run in containers of Docker or Podman, each with its own limits and nothing that it was not given. For
 * everyone who does not know all that runs on the node.
 */
import type { Assignment, FunctionSpec } from "../../../sdk/protocol.ts";
import type { BundleCache, Unpacked } from "../../cache.ts";
import {
  type ContainerEngine,
  type Engine,
  type EngineImages,
  type Guest,
  type Left,
  NodeError,
  type StartContext,
  StartError,
} from "../../engine.ts";
import { usedMiB } from "../../scratch.ts";
import { WAIT } from "../../frames.ts";
import { secretEnv } from "../../secrets.ts";
import { type OpenVolume, type PlacedVolume, placesOf, type Volumes } from "../../volumes.ts";
import { Folder, INSIDE } from "./folder.ts";
import { scratchMiB } from "./guest_sandbox.ts";
import { type BuilderDeps, OciImages } from "./build.ts";
import { EngineAway, EngineRefused } from "./http.ts";
import { type Created, type Launched, Launcher, type LauncherDeps, networkName } from "./launch.ts";
import type { LeftContainer } from "./left.ts";
import { Presence } from "./presence.ts";
import { persistently } from "./removal.ts";
import { Prestarted } from "./prestarted.ts";
import type { Program } from "./program.ts";
import { mayBeCreated, mayWait, plainRecipe, type Recipe, withoutValues } from "./recipe.ts";
import { secretFolder } from "./secrets.ts";
import { serverGuest } from "./server.ts";

/** A guest that has lost its runner waits for the next this long: less than the platform takes to give its work to others. */
const RESUME_MS = 20_000;

export interface OciEngineDeps extends Omit<LauncherDeps, "closing">, BuilderDeps {
  readonly cache: BundleCache;
  readonly volumes: Pick<Volumes, "open">;
  /** MiB for containers that were started before anybody wants them. */
  readonly poolMiB: number;
  readonly left: readonly LeftContainer[];
}

/** Podman looks for exits every 250 ms, and on a busy machine an engine takes seconds to tell of one. */
const EXIT_SEEN_MS = 15_000;

/** Within this an engine that was restarted is back. */
const AWAY_MS = 15_000;
const AWAY_LOOK_MS = 1_000;

export class OciEngine implements Engine {
  readonly images: EngineImages;
  readonly left: Left;
  readonly #deps: OciEngineDeps;
  readonly #launcher: Launcher;
  readonly #prestarted: Prestarted<Launched | Created>;
  readonly #closed = new AbortController();
  readonly #presence: Presence;

  constructor(deps: OciEngineDeps) {
    this.#deps = deps;
    this.images = new OciImages(deps);
    this.#presence = new Presence(deps);
    this.left = this.#openLeft(new Map(deps.left.map((one) => [one.id, one])));
    const launcher = this.#launcher = new Launcher({ ...deps, closing: this.#closed.signal });
    const prestarted = this.#prestarted = new Prestarted({
      budgetMiB: deps.poolMiB,
      plain: (["ts", "python"] as const).filter((body) => deps.defaults[body] !== undefined).map(plainRecipe),
      clock: deps.clock,
      log: deps.log,
      keyOf: (recipe) => launcher.keyOf(recipe),
      imageOf: (recipe) => launcher.imageOf(recipe),
      mayWait: (recipe) => mayWait(recipe, deps.gpus),
      make: async (recipe, how, signal) => {
        await launcher.compile(recipe, signal);
        const wanting = { signal, say: () => {} };
        if (how === "created") return await launcher.create(recipe, wanting);
        const launched = await launcher.launch(recipe, wanting);
        await launched.program.channel.write(WAIT).catch(() => {}); // one that has ended is found out
        return launched;
      },
    });
    deps.images.yieldBy(prestarted);
  }

  /** An engine that is being restarted is waited for: neither the function nor the node is any worse for it. */
  async start(assignment: Assignment, context: StartContext): Promise<Guest> {
    const { clock } = this.#deps;
    const until = clock.now() + AWAY_MS;
    for (let tries = 0;; tries++) {
      try {
        return await this.#start(assignment, context);
      } catch (error) {
        if (!(error instanceof EngineAway) || clock.now() >= until) throw asStartError(error);
      }
      if (tries === 0) context.say("Waiting for the container engine, which does not answer");
      await clock.sleep(AWAY_LOOK_MS, context.signal);
      if (context.signal.aborted) throw new StartError("It was stopped while the container engine was away");
    }
  }

  get containers(): ContainerEngine {
    return { away: this.#presence.away, only: true };
  }

  async watch(signal: AbortSignal, changed: () => void): Promise<void> {
    await this.#presence.watch(signal, changed);
  }

  settled(): void {
    this.#prestarted.fill();
  }

  /** Containers that wait for code. */
  get prestarted(): number {
    return this.#prestarted.size;
  }

  async close(): Promise<void> {
    await this.left.spare([]);
    await this.#prestarted.close();
    this.#closed.abort();
    const { networks, premises } = this.#deps;
    await networks.close();
    if (premises.sockets !== null) await Deno.remove(premises.sockets, { recursive: true }).catch(() => {});
    this.#deps.client.close();
  }

  #openLeft(left: Map<string, LeftContainer>): Left {
    return {
      ids: [...left.keys()],
      adopt: async (assignment, context) => {
        const one = left.get(assignment.id);
        if (one === undefined) throw new StartError("It has ended meanwhile, or was a plain process");
        left.delete(one.id);
        try {
          const recipe = await this.#recipe(assignment, context);
          return this.#guest(await this.#launcher.adopt(recipe, context, one), recipe);
        } catch (error) {
          await this.#endLeft(one);
          throw asStartError(error);
        }
      },
      spare: async (ids) => {
        const others = [...left.values()].filter(({ id }) => !ids.includes(id));
        for (const { id } of others) left.delete(id);
        await Promise.all(others.map((one) => this.#endLeft(one)));
      },
    };
  }

  /** Ends one that nobody takes over; what an engine that is away cannot remove now goes later. */
  async #endLeft({ engineId, slot }: LeftContainer): Promise<void> {
    const { client, networks, slots, premises } = this.#deps;
    await persistently({ ...this.#deps, closing: this.#closed.signal }, engineId, async () => {
      await client.remove(engineId);
      await networks.remove(networkName(slot.dir));
    });
    await new Folder(slot, premises.sockets).remove();
    await slots.remove(slot);
  }

  async #recipe(assignment: Assignment, { secrets }: Pick<StartContext, "secrets">): Promise<Recipe> {
    const volumes = (await this.#deps.volumes.open(assignment.volumes)).map(mounted);
    return { assignment, secrets, volumes };
  }

  async #start(assignment: Assignment, context: StartContext): Promise<Guest> {
    const { cache } = this.#deps;
    const recipe = await this.#recipe(assignment, context);
    const arriving = cache.get(assignment.bundle, context);
    if (assignment.spec.server !== undefined) return await this.#startServer(recipe, context, arriving);
    const [launched, bundle] = await Promise.allSettled([this.#launch(recipe, context), arriving]);
    if (launched.status === "rejected") throw launched.reason;
    try {
      if (bundle.status === "rejected") throw bundle.reason;
      await launched.value.furnish(bundle.value, context.secrets);
      launched.value.assign(assignment.id);
      return this.#guest(launched.value, recipe);
    } catch (error) {
      await launched.value.release();
      throw error;
    }
  }

  /** A program that starts by itself: all that it may need must be there. */
  async #startServer(recipe: Recipe, context: StartContext, arriving: Promise<Unpacked>): Promise<Guest> {
    const launched = await this.#launcher.launchServer(recipe, context, await arriving);
    try {
      launched.assign(recipe.assignment.id);
      return this.#guest(launched, recipe);
    } catch (error) {
      await launched.release();
      throw error;
    }
  }

  async #launch(recipe: Recipe, context: StartContext): Promise<Launched> {
    if (!mayBeCreated(recipe)) return await this.#launcher.launch(recipe, context);
    const ahead = this.#prestarted.take(recipe);
    const launched = await this.#started(ahead, context.signal) ??
      await this.#launcher.launch(recipe, context);
    this.#prestarted.remember(withoutValues(recipe));
    return launched;
  }

  /** Null when it is gone: what does not run is what administrators clean up first. */
  async #started(ahead: Launched | Created | null, signal: AbortSignal): Promise<Launched | null> {
    if (ahead === null || ahead.program !== null) return ahead;
    try {
      return await ahead.start(signal);
    } catch (error) {
      if (error instanceof EngineRefused) return null;
      throw error;
    }
  }

  #scratch(spec: FunctionSpec, { scratch }: Folder): Pick<Guest, "scratch"> {
    const limitMiB = scratchMiB(spec);
    return limitMiB === null
      ? {}
      : { scratch: { limitMiB, usedMiB: () => usedMiB(this.#deps.spawn, scratch) } };
  }

  /** Where its address goes when it ends. */
  #leaving({ exited }: Program): Pick<Guest, "forgotten"> {
    const heard = exited.then(() => this.#deps.vacated.leave());
    return { forgotten: () => void heard.then((tell) => tell()) };
  }

  #guest({ program, release, keep }: Launched, { assignment: { spec }, secrets, volumes }: Recipe): Guest {
    const { clock } = this.#deps;
    const { folder, exited } = program;
    const variables = secretEnv(secrets);
    return {
      ...spec.server === undefined ? connected(program) : {
        ...serverGuest(program, spec.server, clock),
        ...spec.server.socket ? {} : this.#leaving(program),
      },
      exited,
      exitSeenMs: EXIT_SEEN_MS,
      runs: () => program.runs,
      path: spec.body === "ts" ? `${INSIDE.app}/app.js` : INSIDE.app,
      spool: folder.spool,
      secretFolder,
      volumes: placesOf(volumes),
      settle: () => program.printed.settle(),
      usage: () => program.usage(),
      ...this.#scratch(spec, folder),
      exec: (command) => program.exec(command, variables),
      kill: () => program.kill(),
      release,
      keep,
    };
  }
}

/** What is particular to a guest of ours. */
const connected = ({ channel, attached: { stdout, stderr }, folder }: Program) => ({
  channel,
  stdout,
  stderr,
  address: folder.http,
  resumeMs: RESUME_MS,
  publish: ({ endpoints }: { readonly endpoints: boolean }) => {
    folder.keepDoor();
    if (endpoints && !folder.isPublished) folder.publish();
  },
});

/** A container has its volumes where its function wants them. */
const mounted = (volume: OpenVolume): PlacedVolume => ({ ...volume, place: volume.path });

function asStartError(error: unknown): unknown {
  if (error instanceof EngineAway) return new NodeError(error.message, { cause: error });
  if (!(error instanceof EngineRefused)) return error;
  return new StartError(`Cannot start the container: ${error.message}`, { cause: error });
}
