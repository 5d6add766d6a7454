/**
 * System calls of containers. Docker's own filter keeps code out of new namespaces, mounts and the kernel's keys, which all containers
 * of one user share; Podman's lets it in, so its filter is given back to it without those. Pure.
 */
import { z } from "zod";

/** The engine's description of a filter, as far as it is looked into. */
const Filter = z.looseObject({
  defaultAction: z.literal("SCMP_ACT_ERRNO"),
  syscalls: z.array(z.looseObject({ names: z.array(z.string()), action: z.string() })),
});

/** Where Podman has its own: that of the administrator first. */
export const PODMAN_FILTERS = ["/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json"];

export const ALLOW = "SCMP_ACT_ALLOW";
const NAMESPACES = ["unshare", "setns", "clone3"];
const MOUNTS = [
  ...["mount", "umount", "umount2", "pivot_root", "mount_setattr", "move_mount", "open_tree"],
  ...["fsconfig", "fsmount", "fsopen", "fspick"],
];
const KEYS = ["add_key", "keyctl", "request_key"];
const FORBIDDEN = new Set([...NAMESPACES, ...MOUNTS, ...KEYS, "clone"]);

/** `clone` makes threads and processes, with none of the flags that ask for a namespace. */
export const CLONE = {
  names: ["clone"],
  action: ALLOW,
  args: [{ index: 0, value: 0x7e02_0000, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
};

/** @param text of a filter that forbids what it doesn't name. Throws when it is no such */
export function stricterFilter(text: string): string {
  const filter = Filter.parse(JSON.parse(text));
  const kept = filter.syscalls.map((rule) =>
    rule.action === ALLOW ? { ...rule, names: rule.names.filter((name) => !FORBIDDEN.has(name)) } : rule
  ).filter(({ names }) => names.length > 0);
  return JSON.stringify({ ...filter, syscalls: [...kept, CLONE] });
}
