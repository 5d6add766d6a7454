/** Which machine this is. */

/** The same for all processes that see the same files, and so the same unix sockets. */
export async function hostIdentity(): Promise<string> {
  const boot = await Deno.readTextFile("/proc/sys/kernel/random/boot_id").catch(() => Deno.hostname());
  const mounts = await Deno.readLink("/proc/self/ns/mnt").catch(() => "");
  return `${boot.trim()} ${mounts}`.trim();
}
