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
  NodeError,
  type StartContext,
  StartError,
} from "../../engine.ts";
import { usedMiB } from "../../scratch.ts";
import { secretEnv } from "../../secrets.ts";
import { type OpenVolume, type PlacedVolume, placesOf, type Volumes } from "../../volumes.ts";
import { type Folder, INSIDE } from "./folder.ts";
import { scratchMiB } from "./guest_sandbox.ts";
import { type BuilderDeps, OciImages } from "./build.ts";
import { EngineAway, EngineRefused } from "./http.ts";
import { type Launched, Launcher, type LauncherDeps } from "./launch.ts";
import { Presence } from "./presence.ts";
import { Prestarted } from "./prestarted.ts";
import type { Program } from "./program.ts";
import { mayWait, plainRecipe, type Recipe, withoutValues } from "./recipe.ts";
import { secretFolder } from "./secrets.ts";
import { serverGuest } from "./server.ts";

export interface OciEngineDeps extends Omit<LauncherDeps, "closing">, BuilderDeps {
  readonly cache: BundleCache;
  readonly volumes: Pick<Volumes, "open">;
  /** Unix socket of the engine. */
  readonly socket: string;
  /** MiB for containers that were started before anybody wants them. */
  readonly poolMiB: number;
}

/** Podman looks for exits every 250 ms, and on a busy machine an engine takes seconds to tell of one. */
const EXIT_SEEN_MS = 15_000;

/** Within this an engine that was restarted is back. */
const AWAY_MS = 15_000;
const AWAY_LOOK_MS = 1_000;

export class OciEngine implements Engine {
  readonly images: EngineImages;
  readonly #deps: OciEngineDeps;
  readonly #launcher: Launcher;
  readonly #prestarted: Prestarted<Launched>;
  readonly #closed = new AbortController();
  readonly #presence: Presence;

  constructor(deps: OciEngineDeps) {
    this.#deps = deps;
    this.images = new OciImages(deps);
    this.#presence = new Presence(deps);
    const launcher = this.#launcher = new Launcher({ ...deps, closing: this.#closed.signal });
    this.#prestarted = new Prestarted({
      budgetMiB: deps.poolMiB,
      plain: (["ts", "python"] as const).filter((body) => deps.defaults[body] !== undefined).map(plainRecipe),
      clock: deps.clock,
      log: deps.log,
      keyOf: (recipe) => launcher.keyOf(recipe),
      launch: (recipe, signal) => launcher.launch(recipe, { signal, say: () => {} }),
    });
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
    await this.#prestarted.close();
    this.#closed.abort();
    const { networks, premises } = this.#deps;
    await networks.close();
    if (premises.sockets !== null) await Deno.remove(premises.sockets, { recursive: true }).catch(() => {});
    this.#deps.client.close();
  }

  async #start(assignment: Assignment, context: StartContext): Promise<Guest> {
    const { cache } = this.#deps;
    const volumes = (await this.#deps.volumes.open(assignment.volumes)).map(mounted);
    const recipe: Recipe = { assignment, secrets: context.secrets, volumes };
    const arriving = cache.get(assignment.bundle, () => context.bundle(assignment.bundle));
    if (assignment.spec.server !== undefined) return await this.#startServer(recipe, context, arriving);
    const [launched, bundle] = await Promise.allSettled([this.#launch(recipe, context), arriving]);
    if (launched.status === "rejected") throw launched.reason;
    try {
      if (bundle.status === "rejected") throw bundle.reason;
      await launched.value.furnish(bundle.value, context.secrets);
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
      return this.#guest(launched, recipe);
    } catch (error) {
      await launched.release();
      throw error;
    }
  }

  async #launch(recipe: Recipe, context: StartContext): Promise<Launched> {
    if (!mayWait(recipe, this.#deps.gpus)) return await this.#launcher.launch(recipe, context);
    const launched = this.#prestarted.take(recipe) ?? await this.#launcher.launch(recipe, context);
    this.#prestarted.remember(withoutValues(recipe));
    return launched;
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
  publish: () => folder.publish(),
});

/** A container has its volumes where its function wants them. */
const mounted = (volume: OpenVolume): PlacedVolume => ({ ...volume, place: volume.path });

function asStartError(error: unknown): unknown {
  if (error instanceof EngineAway) return new NodeError(error.message, { cause: error });
  if (!(error instanceof EngineRefused)) return error;
  return new StartError(`Cannot start the container: ${error.message}`, { cause: error });
}
