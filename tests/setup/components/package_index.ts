/** Packages of PyPI for builds that reach no network but ours: downloaded by this machine, kept, and offered at one of its addresses. */
import { homedir } from "node:os";
import { freePort } from "../postgres.ts";
import { command } from "./daemon.ts";

export interface PackageIndex {
  /** Variables of a runner, which it hands to its builds. */
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** @param packages with their versions, for Python 3.11 on x86-64; what they depend on is not offered */
export async function startIndex(hostname: string, packages: readonly string[]): Promise<PackageIndex> {
  const folder = `${Deno.env.get("XDG_CACHE_HOME") ?? `${homedir()}/.cache`}/berth-tests/wheels`;
  await Deno.mkdir(folder, { recursive: true });
  const missing = packages.filter((name) => !filesOf(folder).some((file) => file.startsWith(prefixOf(name))));
  if (missing.length > 0) await download(missing, folder);
  const list = filesOf(folder).map((name) => `<a href="/${name}">${name}</a>`).join("\n");
  const server = Deno.serve({ hostname, port: freePort(), onListen: () => {} }, async (request) => {
    const file = decodeURIComponent(new URL(request.url).pathname.slice(1));
    if (!filesOf(folder).includes(file)) {
      return new Response(list, { headers: { "content-type": "text/html" } });
    }
    return new Response((await Deno.open(`${folder}/${file}`)).readable);
  });
  const { port } = server.addr;
  const env = {
    PIP_NO_INDEX: "1",
    PIP_FIND_LINKS: `http://${hostname}:${port}/`,
    PIP_TRUSTED_HOST: hostname,
  };
  return { env, stop: () => server.shutdown() };
}

const filesOf = (folder: string): string[] => [...Deno.readDirSync(folder)].map(({ name }) => name);

/** `numpy==2.2.6` is in `numpy-2.2.6-cp311-….whl`. */
const prefixOf = (name: string): string => `${name.replace("==", "-")}-`;

/** By a pip of its own: not every Python of Debian has one. */
async function download(packages: readonly string[], folder: string): Promise<void> {
  const venv = await Deno.makeTempDir({ prefix: "berth-venv-" });
  try {
    await command("python3", "-m", "venv", venv);
    const target = ["--python-version", "3.11", "--platform", "manylinux2014_x86_64"];
    const quietly = [
      "--quiet",
      "--disable-pip-version-check",
      "--no-input",
      "--no-deps",
      "--only-binary=:all:",
    ];
    await command(
      `${venv}/bin/python3`,
      "-m",
      "pip",
      "download",
      ...quietly,
      ...target,
      "-d",
      folder,
      ...packages,
    );
  } finally {
    await Deno.remove(venv, { recursive: true });
  }
}
