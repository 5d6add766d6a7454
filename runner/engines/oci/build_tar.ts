/** What an engine is sent to build from: the Containerfile and the certificates of this node, then the files that it copies. */
import { packTar } from "modern-tar";

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

export async function buildTar(
  containerfile: string,
  { files, ca, env }: BuildParts,
): Promise<BuildInput> {
  const args = { ...env, ...ca === null ? {} : trusting(CA_INSIDE) };
  const own = await packTar([
    textFile(CONTAINERFILE, withNode(containerfile, Object.keys(args), ca !== null)),
    ...ca === null ? [] : [textFile(CA, ca)],
  ]);
  return { tar: ReadableStream.from(joined(own, files)), args };
}

function textFile(name: string, text: string) {
  const body = new TextEncoder().encode(text);
  return { header: { name, size: body.length, mtime: new Date(0) }, body };
}

async function* joined(
  own: Uint8Array,
  files: ReadableStream<Uint8Array> | null,
): AsyncGenerator<Uint8Array> {
  if (files === null) return yield own;
  yield own.subarray(0, own.length - END_BYTES);
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
