/** What a server in a container is told: where to listen, and so its command. Pure. */
import type { ServerSpec } from "../../../sdk/protocol.ts";
import { filledIn } from "../filled_in.ts";
import { SLOT_INSIDE } from "./folder.ts";

/** Where a server listens that was told nothing, as most images do. */
const PORT = 8_000;

export const portOf = ({ port = PORT }: ServerSpec): number => port;

/** Where it is to listen, as it finds it in its environment. */
export const serverEnv = (server: ServerSpec): Readonly<Record<string, string>> =>
  server.socket ? { BERTH_SOCKET: SLOT_INSIDE.http } : { PORT: String(portOf(server)) };

/** Null for that of its image. @param volumes where they are, by variable */
export const serverCommand = (
  server: ServerSpec,
  volumes: Readonly<Record<string, string>>,
): string[] | null =>
  server.command === undefined ? null : filledIn(server.command, { ...volumes, ...serverEnv(server) });
