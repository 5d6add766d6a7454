/** Connections that are open where a program listens, as Linux tells in /proc. */
import { read } from "../sdk/proc.ts";

/** Of a line of /proc/net/tcp: what is connected at both ends. One that the other side has closed is not. */
const ESTABLISHED = "01";
/** Of a line of /proc/net/unix. */
const CONNECTED = "03";

/**
 * How many there are at the path of a unix socket, as it was bound, or at `HOST:PORT`; null where that cannot be told.
 *
 * @param net what the kernel tells of the network that it is on
 */
export function openConnections(address: string, net = "/proc/net"): number | null {
  if (address.startsWith("/")) return count(`${net}/unix`, (line) => isAtPath(line, address));
  const port = Number(address.slice(address.lastIndexOf(":") + 1));
  const at = (line: readonly string[]) => isAtPort(line, port);
  const [four, six] = [count(`${net}/tcp`, at), count(`${net}/tcp6`, at)];
  return four === null ? null : four + (six ?? 0);
}

function count(file: string, isOne: (line: readonly string[]) => boolean): number | null {
  const text = read(file);
  return text === null ? null : text.split("\n").filter((line) => isOne(line.trim().split(/\s+/))).length;
}

/** Only the end of the one who listens: the other has a port of its own. */
const isAtPort = ([, local = "", , state]: readonly string[], port: number): boolean =>
  state === ESTABLISHED && Number.parseInt(local.split(":")[1]!, 16) === port;

const isAtPath = (line: readonly string[], path: string): boolean =>
  line[5] === CONNECTED && line[7] === path;
