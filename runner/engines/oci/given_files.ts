/** Files that flags of the runner name. One that is not there ends the runner at once: its containers would fail one after another. */
import { type Credentials, parseDockerConfig } from "./credentials.ts";

/** Where systems keep the certificates that they trust. */
const SYSTEM_CERTIFICATES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/cert.pem",
];
const CERTIFICATE = "-----BEGIN CERTIFICATE-----";

export const credentialsOf = async (file: string | undefined): Promise<Credentials> =>
  file === undefined ? new Map() : parseDockerConfig(await readGiven("registry-auth", file));

/**
 * What containers are to trust, in a file of the runner's that they can read: the certificates that are given, and those of this machine,
 * since some tools trust the file that they are told of and nothing else. Undefined when none are given.
 */
export async function trustedIn(data: string, file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  const given = await readGiven("ca-bundle", file);
  if (!given.includes(CERTIFICATE)) throw refused("ca-bundle", `there is no certificate in ${file}`);
  const all = `${data}/ca.pem`;
  await Deno.writeTextFile(all, `${await systemCertificates()}\n${given}`, { mode: 0o644 });
  return all;
}

async function systemCertificates(): Promise<string> {
  for (const path of SYSTEM_CERTIFICATES) {
    const text = await Deno.readTextFile(path).catch(() => "");
    if (text.includes(CERTIFICATE)) return text;
  }
  return "";
}

const readGiven = (flag: string, file: string): Promise<string> =>
  Deno.readTextFile(file).catch((cause) => {
    throw refused(flag, cause.message, cause);
  });

const refused = (flag: string, why: string, cause?: unknown): TypeError =>
  new TypeError(`Cannot start the runner: option --${flag}: ${why}`, { cause });
