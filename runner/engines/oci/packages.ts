/** Packages beside a bundle, as a container sees them, and the container that installs them. Pure. */
import { type Premises, surroundings } from "./guest_sandbox.ts";
import { npmRegistry } from "../environment.ts";
import { INSIDE } from "./folder.ts";
import type { Mount, Sandbox } from "./sandbox.ts";

type Env = Readonly<Record<string, string>>;

export interface Packages {
  readonly mounts: readonly Mount[];
  /** The Python that sees them. */
  readonly python: string;
  /** Where Deno looks for them. */
  readonly env: Env;
}

export const NO_PACKAGES: Packages = { mounts: [], python: "python3", env: { DENO_DIR: "/tmp/.deno" } };

/** Something that is installed into a folder of this machine, and mounted from there. */
export interface Install {
  /** For messages: `install npm:x@1`. */
  readonly what: string;
  readonly command: readonly string[];
  /** Where the folder is inside: while it is filled as after it. */
  readonly target: string;
  readonly env: Env;
}

const VENV = "/berth/venv";
const DENO_DIR = "/berth/deno";
/** Temporary files: an installation may have more of them than fit the memory. */
const TMP = "/berth/tmp";

export const pythonInstall = (requirements: readonly string[]): Install => ({
  what: `install ${requirements.length === 1 ? requirements[0] : `${requirements.length} requirements`}`,
  command: ["python3", `${INSIDE.host}/runner/guests/install.py`, VENV, `${TMP}/requirements.txt`],
  target: VENV,
  env: {},
});

export const npmInstall = (packages: readonly string[]): Install => ({
  what: `install ${packages.join(", ")}`,
  command: ["deno", "cache", "--no-config", "--no-lock", "--node-modules-dir=none", ...packages],
  target: DENO_DIR,
  env: { DENO_DIR },
});

/** What a container sees of a folder that was filled. @param sources where packages came from */
export function installed({ target }: Install, source: string, sources: Env): Packages {
  const mounts = [{ source, target, readOnly: true }];
  if (target === VENV) return { ...NO_PACKAGES, mounts, python: `${VENV}/bin/python3` };
  return { ...NO_PACKAGES, mounts, env: { ...npmRegistry(sources), DENO_DIR } };
}

/** Not of the function: an installation takes what it takes, and is soon over. */
const MEMORY_MIB = 2_048;

export interface InstallPlace {
  readonly image: string;
  /** Folders of this machine: what is filled, and what is thrown away afterwards. */
  readonly folder: string;
  readonly tmp: string;
  /** That of open egress, whatever the function's is. */
  readonly network: string;
  /** Where packages come from, as the runner was told. */
  readonly env: Env;
}

/** The container of an installation: as confined as any, with a way to the network. */
export function installSandbox(install: Install, premises: Premises, place: InstallPlace): Sandbox {
  const { mounts, env, ...common } = surroundings(premises);
  return {
    ...common,
    image: place.image,
    command: install.command,
    env: {
      ...env,
      ...premises.ca === undefined ? {} : { PIP_CERT: INSIDE.ca },
      ...place.env,
      ...install.env,
      TMPDIR: TMP,
    },
    workdir: TMP,
    mounts: [
      ...mounts,
      { source: place.folder, target: install.target, readOnly: false },
      { source: place.tmp, target: TMP, readOnly: false },
    ],
    cpu: 1,
    memoryMiB: MEMORY_MIB,
    network: place.network,
    hosts: [],
    dns: [],
    gpus: { way: premises.gpuWay, names: [] },
  };
}
