/** Where the api is, as a runner is told. */

/** Where the api listens, as `fetch` needs it. */
export interface ApiAddress {
  readonly origin: string;
  readonly client?: Deno.HttpClient;
  /** Path of its unix socket, when that is where it listens. */
  readonly socket?: string;
}

/** Reads `http://host:port` or `unix:/path`. */
export function apiAddress(text: string): ApiAddress {
  if (text.startsWith("unix:/")) {
    const path = text.slice("unix:".length);
    const client = Deno.createHttpClient({ proxy: { transport: "unix", path } });
    return { origin: "http://berth", client, socket: path };
  }
  if (!URL.canParse(text) || !/^https?:/.test(text)) {
    throw new TypeError(`Cannot use api address "${text}": expected http://HOST:PORT or unix:/PATH`);
  }
  return { origin: new URL(text).origin };
}
