/**
 * Ranks of gangs in containers. They have the network of this machine, where rules tell them from others by the group of their
 * processes: each gang has one of its own.
 */
import { safely } from "../../../sdk/proc.ts";
import { StartError } from "../../engine.ts";

/** Groups that no machine gives to anybody: above those of users, and of what systemd hands out. */
const GROUPS = { first: 0x7000_0000, mask: 0x07ff_ffff };

/** The group of a gang. */
export async function groupOf(gang: string): Promise<number> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(gang));
  return GROUPS.first + (new DataView(digest).getUint32(0) & GROUPS.mask);
}

/**
 * Looks whether the rules hold for a container: its sockets must be those of its group, which are another's where a runtime has a kernel
 * or a machine of its own, and on this network, which is another's where the engine is elsewhere.
 *
 * @param pid its first process, as this machine counts; 0 when it has ended already
 */
export function verifyRank(pid: number, group: number): void {
  const network = safely(() => Deno.readLinkSync(`/proc/${pid}/ns/net`));
  const groups = safely(() => Deno.readTextFileSync(`/proc/${pid}/status`)) ?? "";
  if (network === null || groups === "") return; // it has ended
  if (network !== Deno.readLinkSync("/proc/self/ns/net")) {
    throw new StartError(
      "Cannot start the container: ranks of a gang need the network of the runner, and the container engine runs in another",
    );
  }
  if (!new RegExp(`^Gid:(\\s+${group}){4}$`, "m").test(groups)) {
    throw new StartError(
      "Cannot start the container: ranks of a gang share the network of the machine, where they are held by their group, and its runtime does not run them as that; use the engine's own",
    );
  }
}
