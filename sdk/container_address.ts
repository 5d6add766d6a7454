/**
 * Where a container listens, as text: the path of a unix socket, `HOST:PORT`, or, from another machine,
 * `relay://KEY@HOST:PORT/CONTAINER`, the port of its runner, which passes bytes on to it. Pure.
 */

/** On the machine of the container. */
export type LocalAddress =
  | { readonly transport: "unix"; readonly path: string }
  | { readonly transport: "tcp"; readonly hostname: string; readonly port: number };

/** Of a runner that passes on what comes with its key. */
export interface RelayAddress {
  readonly transport: "relay";
  readonly hostname: string;
  readonly port: number;
  readonly key: string;
  readonly container: string;
}

const RELAY = "relay://";

export function parseLocalAddress(text: string): LocalAddress {
  return text.startsWith("/") ? { transport: "unix", path: text } : { transport: "tcp", ...placeOf(text) };
}

export function parseAddress(text: string): LocalAddress | RelayAddress {
  if (!text.startsWith(RELAY)) return parseLocalAddress(text);
  const rest = text.slice(RELAY.length), at = rest.indexOf("@"), slash = rest.lastIndexOf("/");
  const place = placeOf(rest.slice(at + 1, slash));
  return { transport: "relay", ...place, key: rest.slice(0, at), container: rest.slice(slash + 1) };
}

export const formatRelayAddress = (
  { hostname, port, key, container }: Omit<RelayAddress, "transport">,
): string => `${RELAY}${key}@${hostname}:${port}/${container}`;

function placeOf(text: string): { hostname: string; port: number } {
  const colon = text.lastIndexOf(":");
  return { hostname: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}
