/** The network interface at which other nodes reach this one. */
import { lookup } from "node:dns/promises";

/**
 * Null when none has the address: another machine's has it, that passes on what comes; and when none was given, since the machine's own
 * name often means itself to itself alone.
 */
export async function interfaceOf(address: string | undefined): Promise<string | null> {
  if (address === undefined) return null;
  const found = await lookup(address, { all: true }).catch(() => []);
  const own = Deno.networkInterfaces();
  return own.find((one) => found.some(({ address }) => address === one.address))?.name ?? null;
}
