/** A server whose certificate is of an authority that nobody knows, as those of companies are. */
import { command } from "./components/daemon.ts";

export class TlsServer implements AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Certificate of the authority, a file in PEM. */
  readonly ca: string;
  readonly #dir: string;
  readonly #server: Deno.HttpServer;

  private constructor(address: string, dir: string, server: Deno.HttpServer) {
    this.port = (server.addr as Deno.NetAddr).port;
    this.url = `https://${address}:${this.port}/`;
    this.ca = `${dir}/ca.pem`;
    this.#dir = dir;
    this.#server = server;
  }

  /** @param address of this machine, by which it will be called */
  static async start(address: string): Promise<TlsServer> {
    const dir = await Deno.makeTempDir({ prefix: "berth-tls-" });
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    const make = (name: string, ...more: string[]) =>
      command(
        "openssl",
        "req",
        "-x509",
        ...key,
        "-keyout",
        `${dir}/${name}.key`,
        "-out",
        `${dir}/${name}.pem`,
        ...more,
      );
    await make("ca", "-subj", "/CN=authority");
    await make(
      "server",
      ...["-subj", "/CN=server", "-CA", `${dir}/ca.pem`, "-CAkey", `${dir}/ca.key`],
      ...["-addext", `subjectAltName=IP:${address}`, "-addext", "basicConstraints=critical,CA:FALSE"],
    );
    const [cert, secret] = await Promise.all(
      ["server.pem", "server.key"].map((name) => Deno.readTextFile(`${dir}/${name}`)),
    );
    const options = { hostname: "0.0.0.0", port: 0, cert: cert!, key: secret!, onListen: () => {} };
    return new TlsServer(address, dir, Deno.serve(options, () => new Response("trusted")));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
    await Deno.remove(this.#dir, { recursive: true });
  }
}
