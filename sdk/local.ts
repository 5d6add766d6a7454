/** Handlers run in this process, as `.local()` does: contexts that keep to memory. */
import { readVariable } from "./config.ts";
import { type Bytes, CallContext, type ContainerIdentity, type Outlet } from "./context.ts";
import type { GivenSecret, GivenSecrets } from "./secret.ts";

/** Checkpoints in memory, by call and by name; what is logged goes to the console. */
class LocalOutlet implements Outlet {
  readonly #checkpoints = new Map<string, Bytes>();

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

let calls = 0;

/** The context of one more local call. */
export function localContext(names: Pick<ContainerIdentity, "app" | "function">): CallContext {
  const number = ++calls;
  return new CallContext(
    { ...names, container: "local", secrets: localSecrets },
    { number, id: `local_${number}`, attempt: 1 },
    localOutlet,
  );
}
