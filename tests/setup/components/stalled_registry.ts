/** A registry that begins to send a layer and never ends it, so that it can go away in the middle. */

const digestOf = async (bytes: Uint8Array<ArrayBuffer>): Promise<string> =>
  `sha256:${new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex()}`;

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const CONFIG = "application/vnd.docker.container.image.v1+json";
const MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";

export class StalledRegistry implements AsyncDisposable {
  readonly host: string;
  /** Resolves once somebody waits for the layer. */
  readonly asked: Promise<void>;
  readonly #server: Deno.HttpServer;
  readonly #over = new AbortController();

  private constructor(host: string) {
    const asked = Promise.withResolvers<void>();
    this.asked = asked.promise;
    this.host = host;
    const [hostname, port] = host.split(":") as [string, string];
    // What breaks off is no news here.
    const onError = () => new Response(null, { status: 500 });
    const options = { hostname, port: Number(port), signal: this.#over.signal, onError, onListen: () => {} };
    this.#server = Deno.serve(options, (request) => this.#answer(request, asked.resolve));
  }

  static start(host: string): StalledRegistry {
    return new StalledRegistry(host);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#server.finished;
  }

  async #answer(request: Request, asked: () => void): Promise<Response> {
    const { pathname } = new URL(request.url);
    const layer = `sha256:${"ab".repeat(32)}`;
    const config = json({
      architecture: "amd64",
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: [layer] },
    });
    if (pathname.endsWith(layer)) return this.#endless(asked);
    if (pathname.includes("/blobs/")) return new Response(config, { headers: { "content-type": CONFIG } });
    if (!pathname.includes("/manifests/")) return new Response("{}");
    const manifest = json({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: { mediaType: CONFIG, size: config.length, digest: await digestOf(config) },
      layers: [{ mediaType: LAYER, size: 50_000_000, digest: layer }],
    });
    const headers = { "content-type": MANIFEST, "docker-content-digest": await digestOf(manifest) };
    return new Response(request.method === "HEAD" ? null : manifest, { headers });
  }

  #endless(asked: () => void): Response {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        controller.enqueue(new Uint8Array(100_000));
        this.#over.signal.addEventListener("abort", () => controller.error(new Error("away")));
        asked();
      },
    });
    return new Response(body, {
      headers: { "content-type": "application/octet-stream", "content-length": "50000000" },
    });
  }
}
