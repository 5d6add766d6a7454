/** Containers made by their recipes, each in a folder and a network of its own, and taken apart again. */
import type { FunctionSpec, Gpu } from "../../../sdk/protocol.ts";
import type { Clock, Log, Random } from "../../../sdk/ports.ts";
import { copyBundle, type Unpacked } from "../../cache.ts";
import { type Remains, type Spawn, StartError } from "../../engine.ts";
import { secretEnv } from "../../secrets.ts";
import type { Slots } from "../../slots.ts";
import { formatReference, parseReference, type Reference } from "../../../sdk/image_reference.ts";
import type { OciClient } from "./client.ts";
import type { Network, Networks, Openness } from "./egress.ts";
import { Folder, INSIDE } from "./folder.ts";
import { gpuEnvInside, wantedGpus } from "./gpus.ts";
import { guestSandbox, type Premises } from "./guest_sandbox.ts";
import type { Images, Wanting } from "./images.ts";
import type { Installs } from "./installs.ts";
import { type LeftContainer, noteContainer } from "./left.ts";
import { NO_PACKAGES, type Packages } from "./packages.ts";
import { type Own, Program } from "./program.ts";
import type { Recipe } from "./recipe.ts";
import { runIn } from "./remains.ts";
import { persistently } from "./removal.ts";
import { createBody, type Sandbox } from "./sandbox.ts";
import { fillSecrets, laySecrets, secretMounts } from "./secrets.ts";
import type { Vacated } from "./vacated.ts";
import { serverEnv } from "./server_command.ts";

export interface LauncherDeps {
  readonly client: OciClient;
  readonly images: Images;
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

/** A container whose guest has connected. */
export interface Launched {
  readonly program: Program;
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
  readonly network: Pick<Network, "mode" | "hosts" | "dns" | "group">;
  readonly packages: Packages;
}

/** Where nothing is: for recipes that are only compared. */
const NOWHERE = new Folder({ dir: "", control: "", http: "" }, null);
const NO_PLACE: Place = { network: { mode: "", hosts: [], dns: [] }, packages: NO_PACKAGES };

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

  launch(recipe: Recipe, wanting: Wanting): Promise<Launched> {
    return this.#launch(
      recipe,
      wanting,
      (own) => Program.launch(this.#deps, { ...own, signal: wanting.signal }),
    );
  }

  /** One that knows nothing of guests: all that it is given is there, and in its environment, before it starts. */
  launchServer(recipe: Recipe, wanting: Wanting, bundle: Unpacked): Promise<Launched> {
    return this.#launch(recipe, wanting, async ({ sandbox, ...own }) => {
      await this.#furnish(own.folder, bundle, recipe.secrets);
      const told = { ...secretEnv(recipe.secrets), ...serverEnv(recipe.assignment.spec.server!) };
      return await Program.start(this.#deps, {
        ...own,
        sandbox: { ...sandbox, env: { ...sandbox.env, ...told } },
      });
    });
  }

  /** One that an earlier runner has left. What a failure leaves is the caller's. */
  adopt(recipe: Recipe, wanting: Wanting, left: LeftContainer): Promise<Launched> {
    const hasGuest = recipe.assignment.spec.server === undefined;
    const begin: Begin = (own) => Program.adopt(this.#deps, { ...own, id: left.engineId, hasGuest });
    return this.#launch(recipe, wanting, begin, left);
  }

  async #launch(recipe: Recipe, wanting: Wanting, begin: Begin, left?: LeftContainer): Promise<Launched> {
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
      return await this.#launchIn(folder, recipe, packages, begin, steps, left);
    } catch (error) {
      await all(steps);
      throw error;
    }
  }

  async #launchIn(
    folder: Folder,
    recipe: Recipe,
    packages: Packages,
    begin: Begin,
    steps: readonly Step[],
    left: LeftContainer | undefined,
  ): Promise<Launched> {
    const { premises, client, networks, vacated } = this.#deps;
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
    const end = async (program: Program) => {
      program.kill();
      program.attached.close();
      await dismantle();
    };
    try {
      const sandbox = this.#sandbox(recipe, folder, { network, packages });
      await vacated.settled();
      const program = await begin({ name: container, sandbox, folder, network });
      return {
        program,
        furnish: (bundle, secrets) => this.#furnish(folder, bundle, secrets),
        assign: (id) => noteContainer(folder.dir, { id, engineId: program.id }),
        release: async () => {
          await end(program);
          await all(steps);
        },
        keep: async () => {
          await end(program);
          return this.#remains(container, sandbox, recipe, () => all(steps));
        },
      };
    } catch (error) {
      await dismantle();
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
      image: formatReference(this.#imageOf(recipe)),
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

  #imageOf({ assignment: { spec: { image, body } } }: Recipe): Reference {
    const text = image?.ref ?? this.#deps.defaults[body];
    if (text !== undefined) return parseReference(text);
    throw new StartError(
      `Cannot start the container: it names no image, and the node has none for ${body}`,
    );
  }
}

/** Starts the program of a container. */
type Begin = (own: Own) => Promise<Program>;

const opennessOf = ({ assignment: { spec: { egress, server }, gang } }: Recipe): Openness => ({
  egress,
  listens: server !== undefined && !server.socket,
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
