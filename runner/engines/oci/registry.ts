/** What Berth asks of a registry itself, since no engine does: to forget an image. */
import { z } from "zod";
import type { Clock, Fetch } from "../../../sdk/ports.ts";
import type { Reference } from "../../../sdk/image_reference.ts";
import type { Credential, Credentials } from "./credentials.ts";

export interface RegistryDeps {
  readonly fetch: Fetch;
  readonly credentials: Credentials;
  /** Certificates to trust beside those of this machine, a file in PEM. */
  readonly ca: string | undefined;
  readonly clock: Clock;
}

/** It is asked once: what it keeps does no harm. */
const ANSWER_MS = 30_000;

/** Where it says that whoever asks needs a token, and for what. */
const Token = z.object({ token: z.string().optional(), access_token: z.string().optional() });

/**
 * Removes an image that is named by its digest, and so all tags of it. Null when it is gone; else, in a sentence, why the registry
 * keeps it. It never fails.
 */
export async function removeManifest(
  deps: RegistryDeps,
  reference: Reference,
  over: AbortSignal,
): Promise<string | null> {
  const client = Deno.createHttpClient({
    caCerts: deps.ca === undefined ? [] : [await Deno.readTextFile(deps.ca)],
  });
  const done = new AbortController(), late = new AbortController();
  deps.clock.sleep(ANSWER_MS, done.signal).then(() => late.abort());
  const signal = AbortSignal.any([over, late.signal]);
  try {
    const response = await new Asking({ ...deps, client, signal }, reference).remove();
    const text = await response.text();
    if (response.ok || response.status === 404) return null;
    return `Registry ${reference.registry} keeps it: ${whyNot(response.status, text)}`;
  } catch (error) {
    const why = late.signal.aborted ? "it does not answer" : (error as Error).message;
    return `Registry ${reference.registry} keeps it: ${why}`;
  } finally {
    done.abort();
    client.close();
  }
}

interface AskingDeps extends RegistryDeps {
  readonly client: Deno.HttpClient;
  readonly signal: AbortSignal;
}

class Asking {
  readonly #deps: AskingDeps;
  readonly #reference: Reference;
  readonly #credential: Credential | undefined;

  constructor(deps: AskingDeps, reference: Reference) {
    this.#deps = deps;
    this.#reference = reference;
    this.#credential = deps.credentials.get(reference.registry);
  }

  async remove(): Promise<Response> {
    const first = await this.#delete(basic(this.#credential));
    const challenge = /^Bearer (.*)$/i.exec(first.headers.get("www-authenticate") ?? "")?.[1];
    if (first.status !== 401 || challenge === undefined) return first;
    await first.body?.cancel();
    return await this.#delete({ authorization: `Bearer ${await this.#token(challenge)}` });
  }

  async #delete(headers: HeadersInit): Promise<Response> {
    const { registry, path, tag } = this.#reference;
    const host = registry === "docker.io" ? "registry-1.docker.io" : registry;
    const ask = (scheme: string) =>
      this.#fetch(`${scheme}://${host}/v2/${path}/manifests/${tag}`, { method: "DELETE", headers });
    if (!isLoopback(host)) return await ask("https");
    return await ask("https").catch(() => ask("http")); // as engines do there, and nowhere else
  }

  /** As the registry says where it may be had: by a password, or in exchange for what a login has left. */
  async #token(challenge: string): Promise<string> {
    const { realm, service = "" } = Object.fromEntries(
      [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
    );
    const wanted = { service, scope: `repository:${this.#reference.path}:pull,push,delete` };
    const refresh = this.#credential?.identityToken;
    const response = refresh === undefined
      ? await this.#fetch(`${realm}?${new URLSearchParams(wanted)}`, { headers: basic(this.#credential) })
      : await this.#fetch(realm!, {
        method: "POST",
        body: new URLSearchParams({
          ...wanted,
          grant_type: "refresh_token",
          refresh_token: refresh,
          client_id: "berth",
        }),
      });
    if (!response.ok) {
      throw new Error(`its token service refuses us (${response.status}): ${await response.text()}`);
    }
    const { token, access_token } = Token.parse(await response.json());
    return token ?? access_token ?? "";
  }

  #fetch(url: string, init: RequestInit): Promise<Response> {
    const { fetch, client, signal } = this.#deps;
    return fetch(url, { ...init, client, signal });
  }
}

const isLoopback = (host: string): boolean => /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(host);

function basic(credential: Credential | undefined): Record<string, string> {
  if (credential?.username === undefined) return {};
  const { username, password = "" } = credential;
  return { authorization: `Basic ${new TextEncoder().encode(`${username}:${password}`).toBase64()}` };
}

function whyNot(status: number, text: string): string {
  if (status === 405) {
    return "it does not allow deletion (405); of registry:2, REGISTRY_STORAGE_DELETE_ENABLED=true does";
  }
  if (status === 401 || status === 403) {
    return `this node may not delete there (${status}), see --registry-auth`;
  }
  return `it answered ${status} ${text.trim().slice(0, 200)}`.trimEnd();
}
