/** What a container is told of name servers where the runner connects it: `/etc/resolv.conf`. */
import { read } from "../../../sdk/proc.ts";

/** Where this machine says whom to ask. The first may name only systemd's own server, which in turn asks those of the second. */
const FILES = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/** What containers cannot ask: the machine's loopback, and a family of addresses that they do not have. */
const OUT_OF_REACH = /^nameserver\s+(127\.|\S*:)/;

/** An address that is nobody's (RFC 5737): questions go there to die. */
export const NO_SERVER = "192.0.2.1";
/** Nobody answers there: a program should not wait for it as long as for others. */
export const NO_PATIENCE = ["timeout:1", "attempts:1"];
export const NO_SERVERS = `nameserver ${NO_SERVER}\noptions ${NO_PATIENCE.join(" ")}\n`;

/** What of it holds for containers; null when it leads them to nobody. */
export function withinReach(text: string): string | null {
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !OUT_OF_REACH.test(line));
  return lines.some((line) => line.startsWith("nameserver")) ? `${lines.join("\n")}\n` : null;
}

/** The same as this machine does now, as far as containers can. */
export const serversOfMachine = (): string | null =>
  FILES.map((file) => withinReach(read(file) ?? "")).find((text) => text !== null) ?? null;
