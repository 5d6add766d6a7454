/** The master keys of a platform: the newest seals, all of them open. Pure. */
import { createHash } from "node:crypto";

/** AES-256. */
const KEY_BYTES = 32;

export interface MasterKey {
  /** Made from the key, so that nobody has to name it, and says nothing of it. */
  readonly id: string;
  readonly bytes: Uint8Array;
}

export interface Keyring {
  /** With which is sealed. */
  readonly newest: MasterKey;
  readonly byId: ReadonlyMap<string, MasterKey>;
}

/** A keyring of keys as they are written down, the newest first; null without any. @throws TypeError that does not show the key */
export function keyringOf(texts: readonly string[]): Keyring | null {
  const keys = texts.map(masterKey);
  const [newest] = keys;
  return newest === undefined ? null : { newest, byId: new Map(keys.map((key) => [key.id, key])) };
}

/** True for what {@link keyringOf} reads. */
export const isMasterKey = (text: string): boolean => bytesOf(text)?.length === KEY_BYTES;

function masterKey(text: string): MasterKey {
  const bytes = bytesOf(text);
  if (bytes?.length !== KEY_BYTES) throw new TypeError(`Cannot use a key for secrets: it ${KEY_RULE}`);
  return {
    id: createHash("sha256").update("berth secrets key").update(bytes).digest("hex").slice(0, 16),
    bytes,
  };
}

/** Ends a sentence about a key that is none. */
export const KEY_RULE =
  `must be ${KEY_BYTES} bytes in base64, as \`openssl rand -base64 ${KEY_BYTES}\` prints`;

function bytesOf(text: string): Uint8Array | null {
  try {
    return Uint8Array.fromBase64(text.trim());
  } catch {
    return null;
  }
}
