/** A place on the network: `models.example:443`, `10.0.0.7:5432`, `[2001:db8::1]:443`. Pure. */

export interface Destination {
  /** A name, or an address without brackets. */
  readonly host: string;
  readonly port: number;
}

const NAME =
  /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?)*$/;
const PORT_MAX = 65_535;

/** Null when the text names none. */
export function parseDestination(text: string): Destination | null {
  const [, bracketed, plain, digits] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain, port = Number(digits);
  if (host === undefined || port < 1 || port > PORT_MAX) return null;
  return bracketed !== undefined || NAME.test(host) ? { host, port } : null;
}

export const isDestination = (text: string): boolean => parseDestination(text) !== null;
