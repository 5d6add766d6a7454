/** A network namespace that stands in for another machine: it reaches this one at one address, and nothing else. */
import { command, Guard } from "./daemon.ts";

export interface OtherHost {
  /** Of this machine, as it is seen from there. */
  readonly address: string;
  /** Its own. */
  readonly own: string;
  /** Words before a command that is to run there. Files and processes stay those of this machine. */
  readonly through: readonly string[];
  stop(): Promise<void>;
}

export async function startOtherHost(): Promise<OtherHost> {
  const [a, b, c] = crypto.getRandomValues(new Uint8Array(3));
  const name = `bn${new Uint8Array([a!, b!, c!]).toHex()}`;
  const [outside, inside] = [`${name}o`, `${name}i`];
  const subnet = `10.${180 + a! % 20}.${b!}`;
  const [address, own] = [`${subnet}.${c! & 0xfc | 1}`, `${subnet}.${c! & 0xfc | 2}`];
  const dir = await Deno.makeTempDir({ prefix: "berth-host-" });
  const guard = new Guard([], dir, `ip netns del ${name}; ip link del ${outside}`);
  const stop = () => guard.clean();
  try {
    await command("ip", "netns", "add", name);
    await command("ip", "link", "add", outside, "type", "veth", "peer", "name", inside, "netns", name);
    await command("ip", "addr", "add", `${address}/30`, "dev", outside);
    await command("ip", "link", "set", outside, "up");
    await command("ip", "-n", name, "addr", "add", `${own}/30`, "dev", inside);
    for (const link of ["lo", inside]) await command("ip", "-n", name, "link", "set", link, "up");
  } catch (error) {
    await stop();
    throw error;
  }
  // Not `ip netns exec`: it mounts /sys anew, and the control groups that engines need are gone then.
  return { address, own, through: ["nsenter", `--net=/run/netns/${name}`], stop };
}
