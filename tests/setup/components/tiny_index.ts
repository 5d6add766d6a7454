/** A package of Python and one of npm, made by hand and offered by this machine, so that tests install without a network. */
import { command } from "./daemon.ts";

/** An index of packages on all addresses of this machine; `asked` counts what was fetched. */
export async function tinyIndex() {
  const dir = await Deno.makeTempDir({ prefix: "berth-index-" });
  const asked: string[] = [];
  const wheel = await makeWheel(dir);
  const tarball = await makeTarball(dir);
  const server = Deno.serve({ hostname: "0.0.0.0", port: 0, onListen: () => {} }, (request) => {
    const { pathname, origin } = new URL(request.url);
    asked.push(pathname);
    if (pathname === `/${WHEEL}`) return new Response(wheel);
    if (pathname === "/wheels/") {
      const headers = { "content-type": "text/html" };
      return new Response(`<a href="/${WHEEL}">${WHEEL}</a>`, { headers });
    }
    if (pathname === "/tinynpm") return Response.json(packument(origin, tarball));
    if (pathname === "/tinynpm.tgz") return new Response(tarball.bytes);
    return new Response(null, { status: 404 });
  });
  const { port } = server.addr;
  return {
    port,
    asked,
    [Symbol.asyncDispose]: async () => {
      await server.shutdown();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

export const WHEEL = "tinywheel-1.0-py3-none-any.whl";

async function makeWheel(dir: string): Promise<Uint8Array<ArrayBuffer>> {
  const script = `import zipfile
with zipfile.ZipFile("${dir}/${WHEEL}", "w") as wheel:
  wheel.writestr("tinywheel.py", "def double(n): return n * 2\\n")
  wheel.writestr("tinywheel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tinywheel\\nVersion: 1.0\\n")
  wheel.writestr("tinywheel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
  wheel.writestr("tinywheel-1.0.dist-info/RECORD", "")
`;
  await command("python3", "-c", script);
  return await Deno.readFile(`${dir}/${WHEEL}`);
}

async function makeTarball(dir: string) {
  await Deno.mkdir(`${dir}/package`);
  const manifest = { name: "tinynpm", version: "1.0.0", type: "module", main: "index.js" };
  await Deno.writeTextFile(`${dir}/package/package.json`, JSON.stringify(manifest));
  await Deno.writeTextFile(`${dir}/package/index.js`, "export const triple = (n) => n * 3;\n");
  await command("tar", "-C", dir, "-czf", `${dir}/tinynpm.tgz`, "package");
  const bytes = await Deno.readFile(`${dir}/tinynpm.tgz`);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-512", bytes));
  return { bytes, manifest, integrity: `sha512-${digest.toBase64()}` };
}

const packument = (origin: string, { manifest, integrity }: Awaited<ReturnType<typeof makeTarball>>) => ({
  name: "tinynpm",
  "dist-tags": { latest: "1.0.0" },
  versions: { "1.0.0": { ...manifest, dist: { tarball: `${origin}/tinynpm.tgz`, integrity } } },
});
