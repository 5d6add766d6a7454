/** Seals and opens the values of secrets with the keys of this platform, if it has any. */
import { PlatformError } from "../../sdk/errors.ts";
import type { Random } from "../../sdk/ports.ts";
import { open, reseal, seal, type Sealed, type SealedPlace } from "./envelope.ts";
import type { Keyring, MasterKey } from "./keyring.ts";

export type Values = Readonly<Record<string, string>>;

export class Vault {
  readonly #keyring: Keyring | null;
  readonly #random: Random;

  constructor(keyring: Keyring | null, random: Random) {
    this.#keyring = keyring;
    this.#random = random;
  }

  /** Of the key with which it seals. */
  get keyId(): string {
    return this.#needKeyring().newest.id;
  }

  seal(values: Values, place: SealedPlace): Sealed {
    return seal(JSON.stringify(values), place, this.#needKeyring().newest, this.#chance);
  }

  open(sealed: Sealed, place: SealedPlace): Values {
    return JSON.parse(open(sealed, place, this.#keyOf(sealed, place)));
  }

  /** The same under the newest key. */
  reseal(sealed: Sealed, place: SealedPlace): Sealed {
    const { newest: to } = this.#needKeyring();
    return reseal(sealed, place, { from: this.#keyOf(sealed, place), to, chance: this.#chance });
  }

  #chance = (bytes: number): Uint8Array => this.#random.bytes(bytes);

  #needKeyring(): Keyring {
    if (this.#keyring !== null) return this.#keyring;
    const message = "Cannot seal secrets: this platform has no key for them, start it with BERTH_SECRETS_KEY";
    throw new PlatformError("unavailable", message);
  }

  #keyOf({ keyId }: Sealed, { name }: SealedPlace): MasterKey {
    const key = this.#needKeyring().byId.get(keyId);
    if (key !== undefined) return key;
    const message =
      `Cannot open secret "${name}": it is sealed with key ${keyId}, which this platform does not have, start it with that key in BERTH_SECRETS_KEYS_OLD`;
    throw new PlatformError("unavailable", message);
  }
}
