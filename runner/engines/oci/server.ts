/**
 * Servers in containers: a program of the function's image that listens, on a port of its container or on the socket in its slot. A
 * container has an address of its own, which the gateway connects to; nothing is published on this machine.
 */
import { read } from "../../../sdk/proc.ts";
import type { Clock } from "../../../sdk/ports.ts";
import type { ServerSpec } from "../../../sdk/protocol.ts";
import { openConnections } from "../../connections.ts";
import { type Guest, StartError } from "../../engine.ts";
import { interpreted, type ServerProgram } from "../../interpreter.ts";
import { type Folder, SLOT_INSIDE } from "./folder.ts";
import { listensAtHomeOnly } from "./listening.ts";
import type { Program } from "./program.ts";
import { portOf } from "./server_command.ts";

type ServerGuest = Pick<Guest, "channel" | "stdout" | "stderr" | "address" | "lacks" | "terminate">;

export function serverGuest(program: Program, server: ServerSpec, clock: Clock): ServerGuest {
  const { address, ...place } = server.socket ? socketOf(program.folder) : addressOf(program, portOf(server));
  const { pid, exited, attached } = program;
  const bound = server.socket ? SLOT_INSIDE.http : address;
  const connections = () => openConnections(bound, `/proc/${pid}/net`);
  const running: ServerProgram = { pid, exited, ...place, connections, terminate: () => program.terminate() };
  const guest = interpreted({ program: running, server, clock }, attached);
  const hint = () => server.socket ? "" : hintFor(pid, portOf(server));
  return { ...guest, address, lacks: () => guest.lacks() + hint() };
}

type Place = Pick<ServerProgram, "dial" | "place"> & Pick<Guest, "address">;

function addressOf(program: Program, port: number): Place {
  const { address, pid } = program;
  if (address === null && pid !== 0) {
    throw new StartError(
      "Cannot reach the server: its container has no address of its own, as with an engine that runs without root; let it listen on $BERTH_SOCKET (`socket: true`)",
    );
  }
  return {
    address: `${address}:${port}`,
    place: `port ${port} of its container`,
    dial: () => dial(program, port),
  };
}

/** Where a container has been, another may be, or a way out of this machine: who answers then is somebody else. */
async function dial(program: Program, port: number): Promise<Deno.Conn> {
  if (program.address === null) throw ENDED;
  const connection = await Deno.connect({ hostname: program.address, port });
  if (program.runs) return connection;
  connection.close();
  throw ENDED;
}

const ENDED = new Error("The container has ended");

/** The socket is taken out of its hands before anybody connects to it. */
function socketOf(folder: Folder): Place {
  return {
    address: folder.http,
    place: "$BERTH_SOCKET",
    dial: async () => {
      if (!folder.isPublished) folder.publish();
      return await Deno.connect({ transport: "unix", path: folder.http });
    },
  };
}

/** What most programs have got wrong that are not reached. */
function hintFor(pid: number, port: number): string {
  const alone = listensAtHomeOnly(read(`/proc/${pid}/net/tcp`) ?? "", port);
  return alone
    ? `; it listens on 127.0.0.1 of its container, where nobody else comes: let it listen on 0.0.0.0`
    : "";
}
