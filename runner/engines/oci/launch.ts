/** Containers made by their recipes, each in a folder and a network of its own, and taken apart again. */
import type { FunctionSpec, Gpu } from "../../../sdk/protocol.ts";
import type { Clock, Log, Random } from "../../../sdk/ports.ts";
import { copyBundle, type Unpacked } from "../../cache.ts";
import { type Remains, type Spawn, StartError } from "../../engine.ts";
import { secretEnv } from "../../secrets.ts";
import type { Slots } from "../../slots.ts";
import { formatReference, parseReference, type Reference } from "../../../sdk/image_reference.ts";
import type { OciClient } from "./client.ts";
import type { Compiled } from "./compiled.ts";
import { create } from "./create.ts";
import type { Network, Networks, Openness } from "./egress.ts";
import { Folder, INSIDE } from "./folder.ts";
import { EngineAway } from "./http.ts";
import { gpuEnvInside, wantedGpus } from "./gpus.ts";
import { guestSandbox, isCompiled, type NetworkOfPlace, type Premises } from "./guest_sandbox.ts";
import type { Images, Wanting } from "./images.ts";
import type { Installs } from "./installs.ts";
import { type LeftContainer, noteContainer } from "./left.ts";
import { NO_PACKAGES, type Packages } from "./packages.ts";
import { type Own, Program } from "./program.ts";
import { guestAlone, type Recipe } from "./recipe.ts";
import { runIn } from "./remains.ts";
import { persistently } from "./removal.ts";
import { createBody, type Sandbox } from "./sandbox.ts";
import { fillSecrets, laySecrets, secretMounts } from "./secrets.ts";
import type { Vacated } from "./vacated.ts";
import { serverEnv } from "./server_command.ts";

export interface LauncherDeps {
  readonly client: OciClient;
  readonly images: Images;
  readonly compiled: Compiled;
  readonly installs: Installs;
  readonly networks: Networks;
  readonly vacated: Vacated;
  readonly slots: Slots;
  readonly spawn: Spawn;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly gpus: readonly Gpu[];
  readonly premises: Premises;
  /** Images of functions that name none, by their body. */
  readonly defaults: Readonly<Partial<Record<FunctionSpec["body"], string>>>;
  /** The engine is given up. */
  readonly closing: AbortSignal;
}

/** A container that was created, and does not run: nothing of the machine is its own yet but a folder. */
export interface Created {
  readonly program: null;
  readonly image: string;
  /** Starts it, and waits for its guest to connect; removes what a failure leaves. */
  start(signal: AbortSignal): Promise<Launched>;
  /** Removes it. */
  release(): Promise<void>;
}

/** A container whose guest has connected. */
export interface Launched {
  readonly program: Program;
  readonly image: string;
  /** Gives it its code, and what its secrets hold. */
  furnish(bundle: Unpacked, secrets: Recipe["secrets"]): Promise<void>;
  /** Writes down for the next runner which container of the platform it is. */
  assign(id: string): void;
  /** Kills it, and removes all that is left of it. */
  release(): Promise<void>;
  /** The same but for its files, in which commands can be run. */
  keep(): Promise<Remains>;
}

/** What differs between containers of one recipe. */
interface Place {
  readonly network: NetworkOfPlace;
  readonly packages: Packages;
}

/** A guest is compiled within it, or not at all. */
const COMPILE_MS = 10_000;
const HELLO_BYTES = 1_024;

/** Where nothing is: for recipes that are only compared. */
const NOWHERE = new Folder({ dir: "", control: "", http: "" }, null);
const NO_PLACE: Place = { network: { mode: "", hosts: [], dns: [], mounts: [] }, packages: NO_PACKAGES };

export class Launcher {
  readonly #deps: LauncherDeps;

  constructor(deps: LauncherDeps) {
    this.#deps = deps;
  }

  /** Equal for recipes that make the same container. */
  keyOf(recipe: Recipe): string {
    const { spec: { egress, requirements }, external } = recipe.assignment;
    const body = createBody(this.#sandbox(recipe, NOWHERE, NO_PLACE));
    return JSON.stringify([egress, requirements, external, body]);
  }

  /** One that may be started later. */
  async create(recipe: Recipe, wanting: Wanting): Promise<Created> {
    const made = await this.#make(recipe, wanting);
    const { image } = made.own.sandbox;
    const start = (signal: AbortSignal) => this.#startGuest(made, signal);
    return { program: null, image, start, release: () => released(made) };
  }

  async launch(recipe: Recipe, wanting: Wanting): Promise<Launched> {
    return await this.#startGuest(await this.#make(recipe, wanting), wanting.signal);
  }

  /** One that knows nothing of guests: all that it is given is there, and in its environment, before it starts. */
  async launchServer(recipe: Recipe, wanting: Wanting, bundle: Unpacked): Promise<Launched> {
    const made = await this.#make(recipe, wanting);
    return await this.#start(made, async () => {
      await this.#furnish(made.own.folder, bundle, recipe.secrets);
      await made.own.network.guard();
      return await Program.start(this.#deps, made.own);
    });
  }

  /** One that an earlier runner has left. */
  async adopt(recipe: Recipe, wanting: Wanting, left: LeftContainer): Promise<Launched> {
    const hasGuest = recipe.assignment.spec.server === undefined;
    const made = await this.#make(recipe, wanting, left);
    return await this.#start(made, () => Program.adopt(this.#deps, { ...made.own, hasGuest }));
  }

  /** Has the Deno of its image compile our guest, for all that start there later. It never fails; what cannot be is not tried again. */
  async compile({ assignment }: Recipe, signal: AbortSignal): Promise<void> {
    const { compiled, log } = this.#deps;
    const image = this.imageOf({ assignment });
    if (!isCompiled(assignment) || compiled.has(image)) return;
    try {
      const { program, release } = await this.launch(guestAlone(image), { signal, say: () => {} });
      await this.#untilCompiled(program);
      compiled.keep(image, program.folder.deno);
      await release();
    } catch (error) {
      if (signal.aborted || error instanceof EngineAway) return;
      log("oci.compile_failed", { image, error: String(error) });
      compiled.keep(image, null);
    }
  }

  /** By the time it says hello it has all that it imports, and its Deno keeps that when it ends. */
  async #untilCompiled(program: Program): Promise<void> {
    const late = new AbortController();
    const ending = this.#deps.clock.sleep(COMPILE_MS, late.signal).then(() => program.kill());
    await program.channel.read(new Uint8Array(HELLO_BYTES)).catch(() => {});
    program.channel.close();
    await program.exited;
    late.abort();
    await ending;
  }

  async #make(recipe: Recipe, wanting: Wanting, left?: LeftContainer): Promise<Made> {
    const { images, installs, slots, premises } = this.#deps;
    const image = this.#imageOf(recipe);
    const steps: Step[] = [await images.hold(image, wanting)];
    const over = Promise.withResolvers<void>();
    steps.push(() => over.resolve());
    try {
      const packages = await installs.packages(recipe.assignment, image, {
        say: wanting.say,
        over: over.promise,
      });
      const slot = left?.slot ?? await slots.create();
      const folder = new Folder(slot, premises.sockets);
      steps.push(() => folder.remove(), () => slots.remove(slot));
      return await this.#makeIn(folder, { recipe, packages, left }, steps);
    } catch (error) {
      await all(steps);
      throw error;
    }
  }

  async #makeIn(
    folder: Folder,
    { recipe, packages, left }: Pick<Place, "packages"> & { recipe: Recipe; left: LeftContainer | undefined },
    steps: readonly Step[],
  ): Promise<Made> {
    const { premises, client, networks } = this.#deps;
    const name = slotName(folder.dir);
    const container = `berth-${recipe.assignment.id}-${name}`;
    if (left === undefined) {
      await folder.furnish(premises.owner);
      await laySecrets(recipe.secrets, folder.secrets, premises.owner);
    }
    const open = left === undefined ? networks.open : networks.reopen;
    const network = await open.call(networks, opennessOf(recipe), networkName(folder.dir));
    const dismantle = () =>
      persistently(this.#deps, container, async () => {
        await client.remove(left?.engineId ?? container);
        await network.close();
      });
    try {
      const bare = this.#sandbox(recipe, folder, { network, packages });
      const sandbox = { ...bare, env: { ...bare.env, ...toldOf(recipe) } };
      const id = left?.engineId ?? await create(client, container, sandbox);
      return { recipe, container, own: { id, sandbox, folder, network }, dismantle, steps };
    } catch (error) {
      await dismantle();
      throw error;
    }
  }

  /** Rules are made sure of meanwhile: a guest has no code yet. */
  async #startGuest(made: Made, signal: AbortSignal): Promise<Launched> {
    const { compiled, premises } = this.#deps;
    const { folder, sandbox, network } = made.own;
    const guarding = network.guard().then(() => null, (error: unknown) => error);
    const launched = await this.#start(made, () => {
      if (isCompiled(made.recipe.assignment)) compiled.lay(sandbox.image, folder.deno, premises.owner);
      return Program.launch(this.#deps, { ...made.own, signal });
    });
    const failure = await guarding;
    if (failure === null) return launched;
    await launched.release();
    throw failure;
  }

  /** Removes what a failure leaves. */
  async #start(made: Made, begin: () => Promise<Program>): Promise<Launched> {
    const { recipe, container, own: { folder, sandbox }, dismantle, steps } = made;
    try {
      await this.#deps.vacated.settled();
      const program = await begin();
      const end = async () => {
        program.kill();
        program.attached.close();
        await dismantle();
      };
      return {
        program,
        image: sandbox.image,
        furnish: (bundle, secrets) => this.#furnish(folder, bundle, secrets),
        assign: (id) => noteContainer(folder.dir, { id, engineId: program.id }),
        release: async () => {
          await end();
          await all(steps);
        },
        keep: async () => {
          await end();
          return this.#remains(container, sandbox, recipe, () => all(steps));
        },
      };
    } catch (error) {
      await released(made);
      throw error;
    }
  }

  /** What its network led to is closed, and its GPUs are given back. */
  #remains(container: string, sandbox: Sandbox, { secrets }: Recipe, release: () => Promise<void>): Remains {
    let runs = 0;
    const env = { ...sandbox.env, ...secretEnv(secrets), CUDA_VISIBLE_DEVICES: "" };
    const gpus = { ...sandbox.gpus, names: [] };
    const none = { network: "none", hosts: [], dns: [], devices: [], gpus };
    const looked = { ...sandbox, env, workdir: INSIDE.app, ...none };
    return { exec: (command) => runIn(this.#deps, `${container}-${++runs}`, looked, command), release };
  }

  async #furnish(folder: Folder, bundle: Unpacked, secrets: Recipe["secrets"]): Promise<void> {
    await copyBundle(bundle, folder.app);
    await fillSecrets(secrets, folder.secrets, this.#deps.premises.owner);
  }

  #sandbox(recipe: Recipe, folder: Folder, place: Place): Sandbox {
    const { premises, gpus: node } = this.#deps;
    const { assignment, secrets, volumes } = recipe;
    return guestSandbox(assignment, premises, {
      image: this.imageOf(recipe),
      run: folder.run,
      app: folder.app,
      scratch: folder.scratch,
      volumes,
      ...place,
      gpus: wantedGpus(premises.gpuWay, assignment.gpus, node),
      gpuEnv: gpuEnvInside(assignment.gpus, node),
      secrets: { variables: Object.keys(secretEnv(secrets)), mounts: secretMounts(secrets, folder.secrets) },
    });
  }

  /** The name of the image that it is made of. */
  imageOf(recipe: Pick<Recipe, "assignment">): string {
    return formatReference(this.#imageOf(recipe));
  }

  #imageOf({ assignment: { spec: { image, body } } }: Pick<Recipe, "assignment">): Reference {
    const text = image?.ref ?? this.#deps.defaults[body];
    if (text !== undefined) return parseReference(text);
    throw new StartError(
      `Cannot start the container: it names no image, and the node has none for ${body}`,
    );
  }
}

/** A container that was created, and what is to be done when it is given up. */
interface Made {
  readonly recipe: Recipe;
  /** Its name in the engine. */
  readonly container: string;
  readonly own: Own & { readonly network: Pick<Network, "seal" | "enter" | "guard"> };
  /** Removes it, and its network. */
  dismantle(): Promise<void>;
  /** The rest. */
  readonly steps: readonly Step[];
}

async function released({ dismantle, steps }: Made): Promise<void> {
  await dismantle();
  await all(steps);
}

/** What a program is told from its start that knows nothing of guests. */
const toldOf = ({ assignment: { spec: { server } }, secrets }: Recipe): Sandbox["env"] =>
  server === undefined ? {} : { ...secretEnv(secrets), ...serverEnv(server) };

const opennessOf = ({ assignment: { spec: { egress, server }, gang } }: Recipe): Openness => ({
  egress,
  listens: server !== undefined && !server.socket,
  early: server !== undefined,
  gang,
});

type Step = () => unknown;

/** A start may be repeated: what is made for it is named after its slot. */
export const slotName = (dir: string): string => dir.slice(dir.lastIndexOf("/") + 1);

/** Of the network of one container alone. */
export const networkName = (dir: string): string => `be${slotName(dir)}`;

/** Each of them, whatever becomes of the others. */
async function all(steps: readonly Step[]): Promise<void> {
  for (const step of steps) {
    try {
      await step();
    } catch {
      // What it is about is gone already.
    }
  }
}
