/**
 * The oci engine: guests run in containers of Docker or Podman, each with its own limits and nothing that it was not given. For
 * everyone who does not know all that runs on the node.
 */
import type { Assignment, FunctionSpec, Gpu } from "../../../sdk/protocol.ts";
import type { Clock, Log } from "../../../sdk/ports.ts";
import type { BundleCache } from "../../cache.ts";
import { type Engine, type Guest, type Spawn, type StartContext, StartError } from "../../engine.ts";
import { secretEnv } from "../../secrets.ts";
import type { Slots } from "../../slots.ts";
import type { OciClient } from "./client.ts";
import { openNetwork } from "./egress.ts";
import { Folder, INSIDE } from "./folder.ts";
import { gpuEnvInside, requestedGpus } from "./gpus.ts";
import { guestSandbox, type Premises } from "./guest_sandbox.ts";
import { EngineAway, EngineRefused } from "./http.ts";
import type { Images } from "./images.ts";
import { Program } from "./program.ts";
import { mountSecrets, secretFolder } from "./secrets.ts";
import { formatReference, parseReference, type Reference } from "../../../sdk/image_reference.ts";

export interface OciEngineDeps {
  readonly client: OciClient;
  readonly images: Images;
  readonly slots: Slots;
  readonly cache: BundleCache;
  readonly spawn: Spawn;
  readonly clock: Clock;
  readonly log: Log;
  readonly gpus: readonly Gpu[];
  readonly premises: Premises;
  /** Images of functions that name none, by their body. */
  readonly defaults: Readonly<Partial<Record<FunctionSpec["body"], string>>>;
}

/** What a container prints takes a way through its engine; after this long without anything it has come. */
const SETTLE_MS = 15;
/** Podman looks for exits every 250 ms, and on a busy machine an engine takes seconds to tell of one. */
const EXIT_SEEN_MS = 15_000;

export class OciEngine implements Engine {
  readonly #deps: OciEngineDeps;
  readonly #closed = new AbortController();

  constructor(deps: OciEngineDeps) {
    this.#deps = deps;
  }

  async start(assignment: Assignment, context: StartContext): Promise<Guest> {
    try {
      return await this.#start(assignment, context);
    } catch (error) {
      if (error instanceof EngineAway) throw new StartError(error.message, { cause: error });
      if (error instanceof EngineRefused) {
        throw new StartError(`Cannot start the container: ${error.message}`, { cause: error });
      }
      throw error;
    }
  }

  settled(): void {}

  close(): Promise<void> {
    this.#closed.abort();
    this.#deps.client.close();
    return Promise.resolve();
  }

  async #start(assignment: Assignment, context: StartContext): Promise<Guest> {
    const { cache, images } = this.#deps;
    refuseUnhonoured(assignment);
    const reference = this.#imageOf(assignment.spec);
    const { preload } = assignment.spec;
    if (preload.length > 0) {
      context.say(`Starting without preload of ${preload.join(",")}: it is a container`);
    }
    const [bundle, release] = await Promise.all([
      cache.get(assignment.bundle, () => context.bundle(assignment.bundle)),
      images.hold(reference, context),
    ]);
    try {
      return await this.#launch(assignment, {
        reference,
        app: bundle.folder,
        context,
        release,
      });
    } catch (error) {
      release();
      throw error;
    }
  }

  #imageOf({ image, body }: FunctionSpec): Reference {
    const text = image?.ref ?? this.#deps.defaults[body];
    if (text === undefined) {
      throw new StartError(
        `Cannot start the container: it names no image, and the node has none for ${body}`,
      );
    }
    return parseReference(text);
  }

  async #launch(assignment: Assignment, { reference, app, context, release }: Launch): Promise<Guest> {
    const { client, slots, premises, spawn } = this.#deps;
    const slot = await slots.create();
    const name = slotName(slot.dir);
    const undo: (() => unknown)[] = [() => slots.remove(slot)];
    try {
      const folder = new Folder(slot);
      await folder.furnish(premises.owner);
      const network = await openNetwork(
        { client, spawn, labels: premises.labels },
        assignment.spec.egress,
        `be${name}`,
      );
      undo.unshift(() => network.close());
      const sandbox = guestSandbox(assignment, premises, {
        image: formatReference(reference),
        run: folder.run,
        app,
        network,
        gpus: requestedGpus(assignment.gpus, this.#deps.gpus),
        gpuEnv: gpuEnvInside(assignment.gpus, this.#deps.gpus),
        secrets: {
          env: secretEnv(context.secrets),
          mounts: await mountSecrets(context.secrets, folder.secrets, premises.owner),
        },
      });
      const deps = { ...this.#deps, closing: this.#closed.signal };
      const program = await Program.launch(deps, {
        name: `berth-${assignment.id}-${name}`,
        sandbox,
        folder,
        signal: context.signal,
      });
      return this.#guest(program, assignment.spec, async () => {
        await program.remove();
        await all(undo);
        release();
      });
    } catch (error) {
      await all(undo);
      throw error;
    }
  }

  #guest(program: Program, spec: FunctionSpec, release: () => Promise<void>): Guest {
    const { clock } = this.#deps;
    const { channel, folder, attached, exited } = program;
    return {
      channel,
      stdout: attached.stdout,
      stderr: attached.stderr,
      exited,
      exitSeenMs: EXIT_SEEN_MS,
      path: spec.body === "ts" ? `${INSIDE.app}/app.js` : INSIDE.app,
      address: folder.http,
      spool: folder.spool,
      secretFolder,
      publish: () => folder.publish(),
      settle: () => clock.sleep(SETTLE_MS),
      usage: () => program.usage(),
      kill: () => program.kill(),
      release,
    };
  }
}

interface Launch {
  readonly reference: Reference;
  /** Folder of the code. */
  readonly app: string;
  readonly context: StartContext;
  release(): void;
}

/** A start may be repeated: what is made for it is named after its slot. */
const slotName = (dir: string): string => dir.slice(dir.lastIndexOf("/") + 1);

/** Each of them, whatever becomes of the others: an engine that is away now is swept later. */
async function all(steps: readonly (() => unknown)[]): Promise<void> {
  for (const step of steps) await Promise.resolve(step()).catch(() => {});
}

/** What only an image can bring, or only the node. */
function refuseUnhonoured({ spec, external }: Assignment): void {
  if (spec.server !== undefined) {
    throw new StartError("Cannot run a server in a container: it takes a node that runs plain processes");
  }
  if (spec.image?.secret !== undefined) {
    throw new StartError(
      `Cannot pull ${spec.image.ref} with secret "${spec.image.secret}": the node takes credentials of registries from --registry-auth`,
    );
  }
  if (spec.requirements.length > 0) {
    throw new StartError("Cannot install `requirements` in a container: its image must bring them");
  }
  if (external.length > 0) {
    throw new StartError("Cannot install npm packages in a container: its image must bring them");
  }
}
