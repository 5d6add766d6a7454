/**
 * Sealing by envelope, with AES-256-GCM: the values by a data key of their own, that key by a master key. So another master key
 * means sealing 32 bytes anew, and no master key ever seals much. What is sealed is bound to its place: a row that was copied to
 * another workspace, name or version does not open. Pure: chance is handed in.
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv } from "node:crypto";
import type { MasterKey } from "./keyring.ts";

/** As it is stored. */
export interface Sealed {
  readonly sealed: Uint8Array;
  readonly dataKey: Uint8Array;
  readonly keyId: string;
}

/** Where it is stored. */
export interface SealedPlace {
  readonly workspace: string;
  readonly name: string;
  readonly version: number;
}

/** Unpredictable bytes, as many as are asked for. A nonce is never used twice with one key. */
export type Chance = (bytes: number) => Uint8Array;

const CIPHER = "aes-256-gcm";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export function seal(text: string, place: SealedPlace, master: MasterKey, chance: Chance): Sealed {
  const dataKey = chance(KEY_BYTES);
  return {
    sealed: encrypt(new TextEncoder().encode(text), dataKey, bound("values", place), chance),
    dataKey: encrypt(dataKey, master.bytes, bound("key", place), chance),
    keyId: master.id,
  };
}

/** @throws Error when it was sealed elsewhere, by another key, or has been changed */
export function open({ sealed, dataKey }: Sealed, place: SealedPlace, master: MasterKey): string {
  const key = decrypt(dataKey, master.bytes, bound("key", place));
  return new TextDecoder().decode(decrypt(sealed, key, bound("values", place)));
}

/** The same under another master key; the values are not opened. */
export function reseal(
  { sealed, dataKey }: Sealed,
  place: SealedPlace,
  { from, to, chance }: { from: MasterKey; to: MasterKey; chance: Chance },
): Sealed {
  const key = decrypt(dataKey, from.bytes, bound("key", place));
  return { sealed, dataKey: encrypt(key, to.bytes, bound("key", place), chance), keyId: to.id };
}

const bound = (what: "values" | "key", { workspace, name, version }: SealedPlace): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(["berth", what, workspace, name, version]));

/** Nonce, ciphertext, tag. */
function encrypt(plain: Uint8Array, key: Uint8Array, aad: Uint8Array, chance: Chance): Uint8Array {
  const nonce = chance(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES }).setAAD(aad);
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

function decrypt(sealed: Uint8Array, key: Uint8Array, aad: Uint8Array): Uint8Array {
  const nonce = sealed.subarray(0, NONCE_BYTES);
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES }).setAAD(aad);
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
}
