/** Handlers run in this process, as `.local()` does: contexts that keep to memory. */
import { readVariable } from "./config.ts";
import { type Bytes, CallContext, type ContainerIdentity, type Outlet } from "./context.ts";
import { parseArtifactRef } from "./protocol/artifact_ref.ts";
import type { PublishedArtifact } from "./protocol/artifacts.ts";
import type { GivenSecret, GivenSecrets } from "./secret.ts";
import { volumeVariable } from "./mount_paths.ts";
import type { VolumePlaces } from "./volume.ts";

/** Checkpoints and artifacts in memory, by call and by name; what is logged goes to the console. */
class LocalOutlet implements Outlet {
  readonly #checkpoints = new Map<string, Bytes>();
  /** Versions by name, the first one first. */
  readonly #artifacts = new Map<string, { readonly bytes: Bytes; readonly digest: string }[]>();

  log(_call: number, text: string): void {
    console.log(text);
  }

  event(): void {}

  save(call: number, bytes: Uint8Array, name: string | undefined): Promise<void> {
    this.#checkpoints.set(name ?? `#${call}`, new Uint8Array(bytes));
    return Promise.resolve();
  }

  load(call: number | undefined, name: string | undefined): Promise<Bytes | undefined> {
    return Promise.resolve(this.#checkpoints.get(name ?? `#${call}`));
  }

  async publish(_call: number, name: string, content: Uint8Array | string): Promise<PublishedArtifact> {
    const bytes = typeof content === "string" ? await Deno.readFile(content) : new Uint8Array(content);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
    const versions = this.#artifacts.get(name) ?? [];
    if (versions.at(-1)?.digest !== digest) versions.push({ bytes, digest });
    this.#artifacts.set(name, versions);
    return { name, version: versions.length, digest, size: bytes.length };
  }

  /** Nobody moves aliases here: each points at the newest version. */
  artifact(ref: string): Promise<Bytes> {
    const { name, at } = parseArtifactRef(ref) ?? { name: ref, at: null };
    const found = this.#artifacts.get(name)?.at(typeof at === "number" ? at - 1 : -1);
    if (found !== undefined) return Promise.resolve(new Uint8Array(found.bytes));
    return Promise.reject(new Error(`Cannot find artifact ${ref}: none was published in this process`));
  }
}

/** One for the process, so that named checkpoints reach from one local call to the next. */
export const localOutlet: Outlet = new LocalOutlet();

/** What `berth secret set` would give are, locally, the variables that the developer has set. */
export const localSecrets: GivenSecrets = {
  get: (key) => {
    const value = readVariable(key);
    if (value !== undefined) return { value };
    throw new TypeError(`Cannot find secret value "${key}": run locally, it is the variable ${key}, set it`);
  },
  keys: () => new Map<string, GivenSecret>().keys(),
};

/** A volume is, locally, the folder that the developer names in the variable that a container would have. */
export const localVolumes: VolumePlaces = {
  get: (path) => {
    const name = volumeVariable(path), place = readVariable(name);
    if (place !== undefined) return place;
    throw new TypeError(
      `Cannot find a volume at "${path}": run locally, it is the folder in ${name}, set it`,
    );
  },
  keys: () => new Map<string, string>().keys(),
};

let calls = 0;

/** The context of one more local call. */
export function localContext(names: Pick<ContainerIdentity, "app" | "function">): CallContext {
  const number = ++calls;
  return new CallContext(
    { ...names, container: "local", secrets: localSecrets, volumes: localVolumes },
    { number, id: `local_${number}`, attempt: 1 },
    localOutlet,
  );
}
