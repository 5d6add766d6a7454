/** Content cut into the pieces that a guest sends, so that a file of gigabytes is never in memory. */
import { LIMITS } from "../../sdk/protocol/limits.ts";

const PIECE_BYTES = LIMITS.artifactPieceBytes;

/** The pieces of bytes, or of the file of that path. A piece of a file is only valid until the next one. */
export async function* piecesOf(content: Uint8Array | string): AsyncGenerator<Uint8Array> {
  if (typeof content === "string") yield* piecesOfFile(content);
  else for (let at = 0; at < content.length; at += PIECE_BYTES) yield content.subarray(at, at + PIECE_BYTES);
}

async function* piecesOfFile(path: string): AsyncGenerator<Uint8Array> {
  using file = await Deno.open(path);
  const buffer = new Uint8Array(PIECE_BYTES);
  for (let n = await file.read(buffer); n !== null; n = await file.read(buffer)) yield buffer.subarray(0, n);
}
