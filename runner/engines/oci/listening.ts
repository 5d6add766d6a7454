/** Who listens, as the kernel tells in `/proc/PID/net/tcp`. Pure. */

/** State of a socket that listens. */
const LISTEN = "0A";

/** Whether a port is listened on at an address of the loopback, and at no other. */
export function listensAtHomeOnly(table: string, port: number): boolean {
  const addresses = table.split("\n").flatMap((line) => {
    const [, local, , state] = line.trim().split(/\s+/);
    const [address, hex] = local?.split(":") ?? [];
    return state === LISTEN && parseInt(hex ?? "", 16) === port ? [address!] : [];
  });
  return addresses.length > 0 && addresses.every(isLoopback);
}

/** `0100007F`: four bytes, the last first. */
const isLoopback = (address: string): boolean => address.length === 8 && address.endsWith("7F");
