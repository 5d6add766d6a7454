/** From a file on disk to what is deployed: bundle, manifest, digest. */
import { basename, dirname, extname, join } from "node:path";
import type { Random } from "../ports.ts";
import { type BundleDocument, bundleDocument } from "./bundle_document.ts";
import { readBesides } from "./bundle_files.ts";
import { bundleModule, findExternals } from "./bundle.ts";
import type { RunDeno } from "./deno_process.ts";
import { describeBundle, type Described } from "./describe.ts";
import { describePython } from "./describe_python.ts";
import { type Externals, guessExternals } from "./externals.ts";
import { SourceError, usageError } from "./failure.ts";
import { type ReadChain, readChain } from "./image_files.ts";
import { typeCheck } from "./type_check.ts";

export interface PackOptions {
  /** Absolute path of the user's module. */
  readonly path: string;
  readonly typeCheck: boolean;
}

/** Where packing happens. */
export interface PackWorld {
  readonly run: RunDeno;
  readonly random: Random;
  /** The environment of the process, of which a described module sees nothing. */
  readonly env: Readonly<Record<string, string>>;
}

/** An app ready to be deployed. */
export interface Packed extends Omit<Described, "images"> {
  /** Images that must be built, with the files that they copy, by the functions that run in them. */
  readonly images: Readonly<Record<string, ReadChain>>;
  readonly digest: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const EXTENSIONS = [".ts", ".tsx", ".mts", ".js", ".jsx", ".mjs"];

/** Bundles, type-checks and describes a module. Throws a {@link SourceError} that says where it cannot be deployed. */
export async function pack(world: PackWorld, options: PackOptions): Promise<Packed> {
  const path = await existing(options.path);
  const scratch = await Deno.realPath(await Deno.makeTempDir({ prefix: "berth-" }));
  try {
    const checking = options.typeCheck ? typeCheck(world.run, path, scratch) : Promise.resolve();
    // What the bundler says of a mistake is clearer than what the type checker says of it; what the checker says is clearer
    // than what happens when the module is loaded all the same.
    const [packed, checked] = await Promise.allSettled([
      packModule(world, { path, scratch, checking }),
      checking,
    ]);
    if (packed.status === "rejected") throw packed.reason;
    if (checked.status === "rejected") throw checked.reason;
    return packed.value;
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
}

interface Packing {
  readonly path: string;
  /** A folder of ours. */
  readonly scratch: string;
  readonly checking: Promise<void>;
}

async function packModule(world: PackWorld, packing: Packing): Promise<Packed> {
  const { code, externals, described } = await bundleAndDescribe(world, packing);
  const folder = dirname(packing.path);
  const besides = await readBesides(folder, described.files);
  const document = await bundleDocument({ ...besides, "app.js": code });
  const images = await readImages(folder, described.images);
  const complete = await describePython(world.run, folder, described.manifest);
  const manifest = { ...complete, external: [...externals.packages] };
  return {
    ...described,
    ...document,
    images,
    manifest,
    warnings: [...described.warnings, ...sizeWarning(document)],
  };
}

/** Functions often share one image, which is then read once. */
async function readImages(folder: string, chains: Described["images"]): Promise<Packed["images"]> {
  const known = new Map<string, ReadChain>();
  const images: Record<string, ReadChain> = {};
  for (const [name, chain] of Object.entries(chains)) {
    const key = JSON.stringify(chain);
    if (!known.has(key)) known.set(key, await readChain(folder, chain));
    images[name] = known.get(key)!;
  }
  return images;
}

/** Above this, containers spend seconds on loading the module. */
const LARGE_MIB = 5;

function sizeWarning({ bytes }: BundleDocument): string[] {
  const mib = Math.round(bytes.length / 1024 / 1024);
  if (mib <= LARGE_MIB) return [];
  return [
    `The bundle has ${mib} MiB and loads slowly: leave large packages out, new App(NAME, { external: ["npm:PACKAGE"] })`,
  ];
}

/** Bundles with the externals that the source seems to name, and once more if the module turns out to say otherwise. */
async function bundleAndDescribe(world: PackWorld, packing: Packing) {
  const { path, checking } = packing;
  let wanted = guessExternals(await Deno.readTextFile(path));
  while (true) {
    const externals = await findExternals(world.run, path, wanted);
    const code = await bundleModule(world.run, path, externals);
    const described = await describe(world, code, packing).catch((error) =>
      checking.then(() => Promise.reject(error))
    );
    const said = described.manifest.external;
    if (sameSet(said, wanted)) return { code, externals: known(externals, said), described };
    wanted = said;
  }
}

async function describe(world: PackWorld, code: string, { path, scratch }: Packing): Promise<Described> {
  await Deno.writeTextFile(join(scratch, "app.js"), code);
  const nonce = world.random.bytes(16).toHex();
  return await describeBundle(world.run, {
    dir: scratch,
    file: basename(path),
    nonce,
    env: world.env,
    bytes: code.length,
  });
}

/** An external that no import names is a slip of the pen, or imported by a computed name, which no bundler can follow. */
function known(externals: Externals, said: readonly string[]): Externals {
  const found = externals.packages.map((name) => name.slice(0, name.lastIndexOf("@")));
  const missing = said.find((name) =>
    !found.some((package_) => name === package_ || name.startsWith(`${package_}@`))
  );
  if (missing === undefined) return externals;
  throw new SourceError(`Cannot deploy: the app lists external "${missing}", but nothing imports it`, {
    hint: `Import it by name somewhere, or take it out of the list.`,
  });
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return new Set([...a, ...b]).size === new Set(a).size && new Set(a).size === new Set(b).size;
}

async function existing(path: string): Promise<string> {
  if (!EXTENSIONS.includes(extname(path))) {
    const hint = extname(path) === ".py"
      ? 'Point at it from a module: app.python("train.py:main", {}).'
      : undefined;
    throw usageError(`Cannot deploy ${basename(path)}: it is no TypeScript or JavaScript module`, hint);
  }
  try {
    return await Deno.realPath(path);
  } catch {
    throw usageError(`Cannot deploy ${path}: there is no such file`);
  }
}
