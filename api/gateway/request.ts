/** A request as a container gets it: where it goes, and its head. Pure. */
import { Name } from "../../sdk/protocol.ts";

/** What a URL of an endpoint says. */
export interface Target {
  readonly app: string;
  readonly endpoint: string;
  /** Path and query, as in a request line. */
  readonly path: string;
  /** What came before the path, when the container is asked for less than the client has asked for. */
  readonly mount?: string;
  /** The whole URL, without fragment. */
  readonly url: string;
  /** `http` or `https`. */
  readonly protocol: string;
  /** With the port, when the URL has one. */
  readonly host: string;
}

/** What may stand in a request line: printable ASCII, and no fragment. */
const CLEAN = /^[\x21\x22\x24-\x7e]*$/;

/** Reads `…/e/{app}/{endpoint}/{path…}`; null when it is not one. */
export function parseTarget(requestUrl: string): Target | null {
  const url = CLEAN.test(requestUrl) ? requestUrl : cleaned(requestUrl);
  if (url === null) return null;
  const hostAt = url.indexOf("://") + "://".length;
  const pathAt = url.indexOf("/", hostAt);
  const path = url.slice(pathAt);
  const [, e, app, rest] = path.split("/", 4);
  const endpoint = rest?.split("?", 1)[0];
  if (e !== "e" || !Name.safeParse(app).success || !Name.safeParse(endpoint).success) return null;
  const protocol = url.slice(0, hostAt - "://".length);
  return { app: app!, endpoint: endpoint!, path, url, protocol, host: url.slice(hostAt, pathAt) };
}

/** The same, for a program that is mounted at its endpoint and knows only what comes behind it. */
export function belowMount(target: Target): Target {
  const mount = `/e/${target.app}/${target.endpoint}`;
  const rest = target.path.slice(mount.length);
  return { ...target, mount, path: rest.startsWith("/") ? rest : `/${rest}` };
}

function cleaned(text: string): string | null {
  const url = URL.parse(text);
  if (url === null) return null;
  url.hash = "";
  return url.href;
}

/** Of one connection only (RFC 9110 §7.6.1), or written anew by {@link requestHead}. */
const DROPPED = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "content-length",
  "expect",
  "host",
  "forwarded",
  "x-request-id",
]);

/** Ours to say, whatever a client sends: user code may believe these. */
const isOurs = (name: string): boolean => name.startsWith("berth-") || name.startsWith("x-forwarded-");

export interface HeadFacts {
  readonly method: string;
  readonly target: Target;
  readonly headers: Headers;
  /** Bytes of the body; null: unknown, so it is chunked; undefined: there is none. */
  readonly bodyBytes: number | null | undefined;
  /** The key was for us: user code must not see it. */
  readonly hideAuthorization: boolean;
  readonly requestId: string;
  /** Address of the client. */
  readonly peer: string | null;
}

/** Request line and headers, with the blank line. */
export function requestHead(facts: HeadFacts): string {
  const { method, target: { path, host }, bodyBytes } = facts;
  let head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n`;
  for (const [name, value] of passedHeaders(facts)) head += `${name}: ${value}\r\n`;
  return `${head}${bodyHeader(method, bodyBytes)}\r\n`;
}

/** The client's headers that go on, and ours. */
export function passedHeaders(facts: Omit<HeadFacts, "method" | "bodyBytes">) {
  const { target, headers, hideAuthorization, requestId, peer } = facts;
  const passed: [name: string, value: string][] = [];
  const named = nominated(headers.get("connection"));
  for (const header of headers) {
    const [name] = header;
    if (DROPPED.has(name) || named.has(name) || isOurs(name)) continue;
    if (hideAuthorization && name === "authorization") continue;
    passed.push(header);
  }
  if (peer !== null) passed.push(["x-forwarded-for", peer]);
  passed.push(["x-forwarded-host", target.host], ["x-forwarded-proto", target.protocol]);
  if (target.mount !== undefined) passed.push(["x-forwarded-prefix", target.mount]);
  passed.push(["x-request-id", requestId], ["berth-url", target.url], ["berth-endpoint", target.endpoint]);
  return passed;
}

function bodyHeader(method: string, bytes: number | null | undefined): string {
  if (bytes === null) return "transfer-encoding: chunked\r\n";
  if (bytes !== undefined) return `content-length: ${bytes}\r\n`;
  return method === "POST" || method === "PUT" || method === "PATCH" ? "content-length: 0\r\n" : "";
}

/** Headers that `connection` names are of that connection too. */
const nominated = (connection: string | null): ReadonlySet<string> =>
  connection ? new Set(connection.toLowerCase().split(",").map((name) => name.trim())) : NONE;

const NONE: ReadonlySet<string> = new Set();

/** Headers of a response that go on to the client. `sized`: its body is in memory, so that the server counts it. */
export function responseHeaders(
  headers: readonly (readonly [name: string, value: string])[],
  { sized, requestId }: { sized: boolean; requestId: string },
): Headers {
  const passed = new Headers();
  const connection = headers.filter(([name]) => name === "connection").map(([, value]) => value);
  const named = nominated(connection.join());
  for (const [name, value] of headers) {
    if (named.has(name) || (DROPPED.has(name) && (name !== "content-length" || sized))) continue;
    passed.append(name, value);
  }
  passed.append("x-request-id", requestId);
  return passed;
}
