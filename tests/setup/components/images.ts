/** Images for tests, made of Debian packages without any hub: busybox, a server, Python and Deno. Made once, kept in the user's cache. */
import { homedir } from "node:os";
import { command } from "./daemon.ts";

export interface TestImage {
  readonly name: "busybox" | "serving" | "python" | "deno" | "debian";
  readonly packages: readonly string[];
  /** Of the image's configuration. */
  readonly command: readonly string[];
  readonly env: readonly string[];
}

const PYTHON = [
  "libc6",
  "libgcc-s1",
  "zlib1g",
  "libexpat1",
  "libssl3",
  "libffi8",
  "libbz2-1.0",
  "liblzma5",
  "libsqlite3-0",
  "libpython3.11-minimal",
  "libpython3.11-stdlib",
  "python3.11-minimal",
  "python3-minimal",
];
/** What installs packages: pip, and apt with all that it needs. */
const INSTALLERS = [
  "python3-pip",
  "python3-distutils",
  "apt",
  "dpkg",
  "tar",
  "libc-bin",
  "gpgv",
  "libapt-pkg6.0",
  "libstdc++6",
  "libgnutls30",
  "libgmp10",
  "libhogweed6",
  "libnettle8",
  "libidn2-0",
  "libunistring2",
  "libp11-kit0",
  "libtasn1-6",
  "libseccomp2",
  "libsystemd0",
  "libcap2",
  "libgcrypt20",
  "libgpg-error0",
  "liblz4-1",
  "libudev1",
  "libxxhash0",
  "libzstd1",
  "libmd0",
  "libselinux1",
  "libpcre2-8-0",
  "libacl1",
];

export const IMAGES: readonly TestImage[] = [
  { name: "busybox", packages: [], command: ["sh"], env: [] },
  // A server by itself, as those of models are: on all addresses, port 8000.
  { name: "serving", packages: [], command: ["httpd", "-f", "-p", "8000", "-h", "/etc"], env: [] },
  {
    name: "python",
    packages: [...PYTHON, "python3.11-venv", "python3-pip-whl", "python3-setuptools-whl"],
    command: ["python3"],
    env: ["PYTHONUNBUFFERED=1"],
  },
  { name: "deno", packages: ["libc6", "libgcc-s1"], command: ["deno"], env: ["DENO_NO_UPDATE_CHECK=1"] },
  // What others are built from.
  {
    name: "debian",
    packages: [...PYTHON, ...INSTALLERS],
    command: ["python3"],
    env: ["PYTHONUNBUFFERED=1"],
  },
];

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** Changed when the recipe below changes. */
const RECIPE = 2;

/** A tar of each image's files, and its configuration. */
export interface Layer {
  readonly image: TestImage;
  readonly tar: string;
}

/** The layers, from the cache where they are there. */
export async function testLayers(): Promise<Layer[]> {
  const folder = `${
    Deno.env.get("XDG_CACHE_HOME") ?? `${homedir()}/.cache`
  }/berth-tests/images-${RECIPE}-${Deno.version.deno}`;
  await Deno.mkdir(folder, { recursive: true });
  const layers: Layer[] = [];
  for (const image of IMAGES) {
    const tar = `${folder}/${image.name}.tar`;
    if (!await exists(tar)) await makeLayer(image, folder, tar);
    layers.push({ image, tar });
  }
  return layers;
}

export const configOf = ({ command, env }: TestImage) => ({
  Cmd: command,
  Env: [PATH, ...env],
  WorkingDir: "/",
});

async function makeLayer(image: TestImage, folder: string, tar: string): Promise<void> {
  const root = await Deno.makeTempDir({ dir: folder, prefix: "root-" });
  try {
    await furnish(root);
    for (const name of ["busybox-static", ...image.packages]) {
      await unpack(await download(name, folder), root);
    }
    await trim(root);
    if (image.name === "deno") await Deno.copyFile(Deno.execPath(), `${root}/usr/bin/deno`);
    if (image.packages.includes("python3-minimal")) {
      await command("ln", "-sf", "python3.11", `${root}/usr/bin/python3`);
    }
    if (image.name === "debian") await furnishApt(root);
    const half = `${tar}.${Deno.pid}`;
    await command("tar", "--numeric-owner", "--owner=0", "--group=0", "-C", root, "-cf", half, ".");
    await Deno.rename(half, tar);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

async function furnish(root: string): Promise<void> {
  for (
    const folder of [
      "usr/bin",
      "usr/sbin",
      "usr/lib",
      "usr/lib64",
      "etc",
      "proc",
      "sys",
      "dev",
      "root",
      "tmp",
    ]
  ) {
    await Deno.mkdir(`${root}/${folder}`, { recursive: true });
  }
  await Deno.chmod(root, 0o755);
  await Deno.chmod(`${root}/tmp`, 0o1777);
  for (const name of ["bin", "sbin", "lib", "lib64"]) await Deno.symlink(`usr/${name}`, `${root}/${name}`);
  await Deno.writeTextFile(
    `${root}/etc/passwd`,
    "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n",
  );
  await Deno.writeTextFile(`${root}/etc/group`, "root:x:0:\nnogroup:x:65534:\n");
}

/** Nothing is installed, as far as dpkg knows. */
async function furnishApt(root: string): Promise<void> {
  for (
    const folder of [
      "lib/dpkg/info",
      "lib/dpkg/updates",
      "lib/apt/lists/partial",
      "cache/apt/archives/partial",
    ]
  ) {
    await Deno.mkdir(`${root}/var/${folder}`, { recursive: true });
  }
  await Deno.writeTextFile(`${root}/var/lib/dpkg/status`, "");
}

async function download(name: string, folder: string): Promise<string> {
  const debs = `${folder}/debs`;
  await Deno.mkdir(debs, { recursive: true });
  const found = await debOf(name, debs);
  if (found !== null) return found;
  const fetch = () => command("sh", "-c", `cd "${debs}" && apt-get download -q ${name}`);
  await fetch().catch(async () => {
    await command("apt-get", "update", "-q");
    await fetch();
  });
  return (await debOf(name, debs))!;
}

async function debOf(name: string, debs: string): Promise<string | null> {
  for await (const file of Deno.readDir(debs)) {
    if (file.name.startsWith(`${name}_`)) return `${debs}/${file.name}`;
  }
  return null;
}

/** A folder in a package stays the link it is here. */
const unpack = (deb: string, root: string): Promise<string> =>
  command("sh", "-c", `dpkg-deb --fsys-tarfile "${deb}" | tar -x --keep-directory-symlink -C "${root}"`);

async function trim(root: string): Promise<void> {
  for (const folder of ["doc", "man", "locale"]) {
    await Deno.remove(`${root}/usr/share/${folder}`, { recursive: true }).catch(() => {});
  }
  const tools = (await command(`${root}/usr/bin/busybox`, "--list")).trim().split("\n");
  for (const tool of tools) await Deno.symlink("busybox", `${root}/usr/bin/${tool}`).catch(() => {});
}

const exists = (path: string): Promise<boolean> => Deno.stat(path).then(() => true, () => false);
