/** Commands in what is left of a container that has ended: each in a container of its own, on the same image and the same folders. */
import type { Clock } from "../../../sdk/ports.ts";
import type { ExecCommand } from "../../../sdk/protocol.ts";
import type { Exec, GuestExit } from "../../engine.ts";
import type { OciClient } from "./client.ts";
import { create } from "./create.ts";
import { exitOf } from "./exit.ts";
import { persistently, type RemovalDeps } from "./removal.ts";
import type { Sandbox } from "./sandbox.ts";

export interface RemainsDeps extends RemovalDeps {
  readonly client: OciClient;
  readonly clock: Clock;
}

const KILLED: GuestExit = { code: 137, signal: "SIGKILL" };

/** @param name of the container, in the engine */
export async function runIn(
  deps: RemainsDeps,
  name: string,
  sandbox: Sandbox,
  { command, tty }: ExecCommand,
): Promise<Exec> {
  const { client } = deps;
  const term: Sandbox["env"] = tty === undefined ? {} : { TERM: tty.term };
  const remove = () => persistently(deps, name, () => client.remove(name));
  const id = await create(client, name, {
    ...sandbox,
    command,
    env: { ...sandbox.env, ...term },
    stdin: tty === undefined ? "pipe" : "tty",
  });
  try {
    const attached = await client.attach(id, { stdin: true, tty: tty !== undefined });
    await client.start(id);
    if (tty !== undefined) await client.resize(id, tty).catch(() => {}); // it has ended already
    const exited = client.wait(id).then(endedWith, () => KILLED);
    exited.then(remove);
    const { stdin, stdout, stderr } = attached;
    return {
      stdin,
      stdout,
      stderr,
      exited,
      resize: (size) => {
        if (tty !== undefined) client.resize(id, size).catch(() => {});
      },
      kill: () => {
        client.kill(id).catch(() => {});
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

const endedWith = (code: number): GuestExit =>
  exitOf({ code, outOfMemory: false, bereft: false, memoryMiB: 0 });
