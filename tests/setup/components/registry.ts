/** An image registry for tests, one door open and one with a password, filled with the test images. */
import { freePort } from "../postgres.ts";
import { Daemon, Guard } from "./daemon.ts";
import { configOf, type Layer, testLayers } from "./images.ts";

export interface TestRegistry {
  /** `127.0.0.1:PORT`, open to all. */
  readonly host: string;
  /** The same images behind a password. */
  readonly lockedHost: string;
  /** Nobody is there; a test may be. */
  readonly vacantHost: string;
  readonly user: string;
  readonly password: string;
  stop(): Promise<void>;
}

const USER = "ci";
const PASSWORD = "s3cret";
/** The same in bcrypt, as `htpasswd -Bbn` has it. */
const HTPASSWD = "ci:$2y$05$NccRaKVt1IaCHJx3D.FdTehyCZEoJI9S3E7M2vttoUTrPZnjQO.My\n";

export async function startRegistry(): Promise<TestRegistry> {
  const dir = await Deno.makeTempDir({ prefix: "berth-registry-" });
  const [host, lockedHost, vacantHost] = [freeHost(), freeHost(), freeHost()];
  const guard = new Guard([`${dir}/open`, `${dir}/locked`], dir);
  const stop = () => guard.clean();
  try {
    const layers = await testLayers();
    await Deno.writeTextFile(`${dir}/htpasswd`, HTPASSWD);
    await Promise.all([serve(dir, { host }), serve(dir, { host: lockedHost, locked: true })]);
    for (const layer of layers) await publish(host, layer);
    return { host, lockedHost, vacantHost, user: USER, password: PASSWORD, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const freeHost = (): string => `127.0.0.1:${freePort()}`;

/** Reference of a test image. */
export const imageOf = (host: string, name: Layer["image"]["name"]): string => `${host}/berth/${name}:1`;

/** An empty registry there which does not allow deletion, as is its default. */
export async function startKeepingRegistry(host: string): Promise<AsyncDisposable> {
  const dir = await Deno.makeTempDir({ prefix: "berth-keeping-" });
  const guard = new Guard([`${dir}/open`], dir);
  await serve(dir, { host, deletes: false });
  return { [Symbol.asyncDispose]: () => guard.clean() };
}

interface Door {
  readonly host: string;
  /** @default false */
  readonly locked?: boolean;
  /** @default true */
  readonly deletes?: boolean;
}

async function serve(dir: string, { host, locked = false, deletes = true }: Door): Promise<Daemon> {
  const folder = `${dir}/${locked ? "locked" : "open"}`;
  await Deno.mkdir(folder, { recursive: true });
  const config = {
    version: "0.1",
    log: { level: "warn" },
    storage: { filesystem: { rootdirectory: `${dir}/blobs` }, delete: { enabled: deletes } },
    http: { addr: host },
    ...(locked ? { auth: { htpasswd: { realm: "registry", path: `${dir}/htpasswd` } } } : {}),
  };
  await Deno.writeTextFile(`${folder}/config.yml`, JSON.stringify(config)); // JSON is YAML
  const ready = async () => await (await fetch(`http://${host}/v2/`)).body?.cancel();
  return await Daemon.start({
    command: "docker-registry",
    args: ["serve", `${folder}/config.yml`],
    dir: folder,
    ready,
  });
}

/** Publishes an image of one layer. It is not compressed: that takes longer than all else, on both sides. */
async function publish(host: string, { image, tar }: Layer): Promise<void> {
  const repository = `http://${host}/v2/berth/${image.name}`;
  const layer = await upload(repository, await Deno.readFile(tar));
  const config = await upload(
    repository,
    json({
      architecture: "amd64",
      os: "linux",
      config: configOf(image),
      rootfs: { type: "layers", diff_ids: [layer.digest] },
      history: [{ created: "2026-01-01T00:00:00Z" }],
    }),
  );
  const manifest = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...layer }],
  };
  await put(`${repository}/manifests/1`, json(manifest), manifest.mediaType);
}

async function upload(
  repository: string,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<{ digest: string; size: number }> {
  const digest = `sha256:${new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex()}`;
  const begun = await fetch(`${repository}/blobs/uploads/`, { method: "POST" });
  await begun.body?.cancel();
  const where = new URL(begun.headers.get("location")!, repository);
  where.searchParams.set("digest", digest);
  await put(where.href, bytes, "application/octet-stream");
  return { digest, size: bytes.length };
}

async function put(url: string, body: Uint8Array<ArrayBuffer>, type: string): Promise<void> {
  const response = await fetch(url, { method: "PUT", body, headers: { "content-type": type } });
  if (!response.ok) throw new Error(`Cannot publish: ${response.status} ${await response.text()}`);
  await response.body?.cancel();
}

const json = (value: unknown): Uint8Array<ArrayBuffer> => new TextEncoder().encode(JSON.stringify(value));
