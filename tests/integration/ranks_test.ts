/** What ranks of gangs in containers are held by: the group of their processes, on the network of the runner. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { interfaceOf } from "../../runner/engines/nic.ts";
import { groupOf, verifyRank } from "../../runner/engines/oci/ranks.ts";
import { untilTrue } from "../setup/until.ts";

/** Runs while `look` does. */
async function beside(
  command: readonly string[],
  look: (pid: number) => void | Promise<void>,
): Promise<void> {
  const [program, ...args] = [...command, "sleep", "60"];
  const child = new Deno.Command(program!, { args, stdin: "null" }).spawn();
  try {
    await untilTrue(
      "it sleeps",
      () => Deno.readTextFileSync(`/proc/${child.pid}/cmdline`).startsWith("sleep\0"),
    );
    await look(child.pid);
  } finally {
    child.kill();
    await child.status;
  }
}

describe("verifyRank()", { skip: Deno.uid() !== 0 }, () => {
  it("takes a process of the group on this network, and one that has ended", async () => {
    const group = await groupOf("gang_1");
    await beside(["setpriv", "--regid", `${group}`, "--clear-groups"], (pid) => verifyRank(pid, group));
    verifyRank(0, group);
  });

  it("refuses one of another group, as runtimes with a kernel of their own have, and one on another network", async () => {
    const group = await groupOf("gang_1");
    assert.throws(() => verifyRank(Deno.pid, group), /its runtime does not run them as that/);
    const elsewhere = ["unshare", "--net", "setpriv", "--regid", `${group}`, "--clear-groups"];
    await beside(elsewhere, (pid) => assert.throws(() => verifyRank(pid, group), /runs in another$/));
  });
});

describe("interfaceOf()", () => {
  it("is that of an address or a name, and none where no interface has it", async () => {
    assert.equal(await interfaceOf("127.0.0.1"), "lo");
    assert.equal(await interfaceOf("localhost"), "lo");
    for (const address of ["192.0.2.1", "no.such.host.invalid", undefined]) {
      assert.equal(await interfaceOf(address), null);
    }
  });
});
