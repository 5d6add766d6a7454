/** Who we are to registries: read from a file as `docker login` writes it, sent as the engine wants it. Pure. */
import { z } from "zod";

/** `config.json` of Docker, as far as it holds credentials itself. */
const DockerConfig = z.object({
  auths: z.record(
    z.string(),
    z.object({
      /** `user:password` in base64. */
      auth: z.base64().optional(),
      username: z.string().optional(),
      password: z.string().optional(),
      identitytoken: z.string().optional(),
    }),
  ).default({}),
});

export interface Credential {
  readonly username?: string;
  readonly password?: string;
  readonly identityToken?: string;
}

/** Credentials by the host of the registry. */
export type Credentials = ReadonlyMap<string, Credential>;

/** @throws TypeError when the text is no such file */
export function parseDockerConfig(text: string): Credentials {
  try {
    const { auths } = DockerConfig.parse(JSON.parse(text));
    return new Map(Object.entries(auths).map(([registry, entry]) => [hostOf(registry), credentialOf(entry)]));
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause) : String(cause);
    throw new TypeError(`Cannot read the registries' credentials: ${why}`, { cause });
  }
}

/** Docker's own hub is written as a URL of old. */
const hostOf = (registry: string): string =>
  registry.replace(/^https?:\/\//, "").replace(/\/.*$/, "").replace(
    /^(index|registry-1)\.docker\.io$/,
    "docker.io",
  );

type Entry = z.infer<typeof DockerConfig>["auths"][string];

function credentialOf({ auth, username, password, identitytoken }: Entry): Credential {
  if (identitytoken !== undefined) return { identityToken: identitytoken };
  const text = auth === undefined ? "" : new TextDecoder().decode(Uint8Array.fromBase64(auth));
  const colon = text.indexOf(":");
  return colon < 0
    ? { username: username ?? "", password: password ?? "" }
    : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** Value of the header `X-Registry-Config`: all of them, for the images that a build begins with. */
export function registryConfig(credentials: Credentials): string {
  const entries = [...credentials].map(([registry, { username, password, identityToken }]) => [
    registry === "docker.io" ? "https://index.docker.io/v1/" : registry,
    { username, password, identitytoken: identityToken },
  ]);
  return new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries))).toBase64({
    alphabet: "base64url",
  });
}

/** Value of the header `X-Registry-Auth`; an empty object says that there are none. */
export function registryAuth(registry: string, credential: Credential | undefined): string {
  const value = credential === undefined ? {} : {
    username: credential.username,
    password: credential.password,
    identitytoken: credential.identityToken,
    serveraddress: registry,
  };
  return new TextEncoder().encode(JSON.stringify(value)).toBase64({ alphabet: "base64url" });
}
