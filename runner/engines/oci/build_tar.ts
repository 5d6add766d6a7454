/** What an engine is sent to build from: the Containerfile and the certificates of this node, then the files that it copies. */
import { pack } from "tar-stream";

/** Where they lie in it. */
export const CONTAINERFILE = ".berth/Containerfile";
const CA = ".berth/ca.pem";
/** Where they are in the image. */
const CA_INSIDE = "/.berth-ca.pem";
/** Two blocks of zeros end a tar; what comes before the files must not. */
const END_BYTES = 1024;

export interface BuildParts {
  /** A tar. */
  readonly files: ReadableStream<Uint8Array> | null;
  /** In PEM. */
  readonly ca: string | null;
  readonly env: Readonly<Record<string, string>>;
}

export interface BuildInput {
  readonly tar: ReadableStream<Uint8Array>;
  /** Values of the arguments that the Containerfile declares for this node. */
  readonly args: Readonly<Record<string, string>>;
}

export function buildTar(containerfile: string, { files, ca, env }: BuildParts): BuildInput {
  const args = { ...env, ...ca === null ? {} : trusting(CA_INSIDE) };
  const own = pack();
  own.entry(
    { name: CONTAINERFILE, mtime: new Date(0) },
    withNode(containerfile, Object.keys(args), ca !== null),
  );
  if (ca !== null) own.entry({ name: CA, mtime: new Date(0) }, ca);
  own.finalize();
  return { tar: ReadableStream.from(joined(own as AsyncIterable<Uint8Array>, files)), args };
}

async function* joined(
  own: AsyncIterable<Uint8Array>,
  files: ReadableStream<Uint8Array> | null,
): AsyncGenerator<Uint8Array> {
  const pieces = await Array.fromAsync(own);
  const bytes = new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer());
  if (files === null) return yield bytes;
  yield bytes.subarray(0, bytes.length - END_BYTES);
  yield* files;
}

/** The variables in which tools look for certificates. */
const trusting = (path: string): Record<string, string> => ({
  SSL_CERT_FILE: path,
  PIP_CERT: path,
  REQUESTS_CA_BUNDLE: path,
  CURL_CA_BUNDLE: path,
  NODE_EXTRA_CA_CERTS: path,
  DENO_CERT: path,
});

/** Arguments are variables of the steps, and of nothing else: what runs in the image later does not see them. */
function withNode(containerfile: string, args: readonly string[], hasCa: boolean): string {
  const lines = [...hasCa ? [`COPY ${CA} ${CA_INSIDE}`] : [], ...args.map((name) => `ARG ${name}`)];
  if (lines.length === 0) return containerfile;
  return containerfile.replace(/^[ \t]*FROM[ \t].*$/gim, (from) => [from, ...lines].join("\n"));
}
