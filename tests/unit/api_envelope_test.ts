import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { open, reseal, seal } from "../../api/secrets/envelope.ts";
import { isMasterKey, type Keyring, keyringOf } from "../../api/secrets/keyring.ts";
import { Vault } from "../../api/secrets/vault.ts";
import { dice } from "../setup/snapshots.ts";

const PLACE = { workspace: "default", name: "db", version: 3 };
const TEXT = '{"PASSWORD":"correct horse battery staple"}';

const roll = dice(1);
const chance = (n: number) => Uint8Array.from({ length: n }, () => roll.upTo(255));
const keyText = (byte: number) => new Uint8Array(32).fill(byte).toBase64();
const ring = (...bytes: number[]): Keyring => keyringOf(bytes.map(keyText))!;
const random = { next: () => 0, bytes: chance as (n: number) => Uint8Array<ArrayBuffer> };

describe("seal() and open()", () => {
  const { newest } = ring(1);

  it("give back what was sealed, of which nothing is to be seen", () => {
    const sealed = seal(TEXT, PLACE, newest, chance);
    assert.equal(open(sealed, PLACE, newest), TEXT);
    const seen = new TextDecoder("latin1").decode(sealed.sealed) + sealed.keyId;
    assert.ok(!seen.includes("horse") && !seen.includes("PASSWORD"));
  });

  it("never seal the same twice in the same way", () => {
    const [a, b] = [seal(TEXT, PLACE, newest, chance), seal(TEXT, PLACE, newest, chance)];
    assert.notDeepEqual(a.sealed, b.sealed);
    assert.notDeepEqual(a.dataKey, b.dataKey);
  });

  it("refuse another place, another key, and any bit that was changed", () => {
    const sealed = seal(TEXT, PLACE, newest, chance);
    for (const other of [{ workspace: "x" }, { name: "db2" }, { version: 4 }]) {
      assert.throws(() => open(sealed, { ...PLACE, ...other }, newest));
    }
    assert.throws(() => open(sealed, PLACE, ring(2).newest));
    for (const part of ["sealed", "dataKey"] as const) {
      for (let at = 0; at < sealed[part].length; at++) {
        const changed = Uint8Array.from(sealed[part]);
        changed[at]! ^= 1 << roll.upTo(7);
        assert.throws(() => open({ ...sealed, [part]: changed }, PLACE, newest), `${part} ${at}`);
      }
    }
  });
});

describe("reseal()", () => {
  it("puts the data key under another master key and leaves the values as they are", () => {
    const [from, to] = [ring(1).newest, ring(2).newest];
    const before = seal(TEXT, PLACE, from, chance);
    const after = reseal(before, PLACE, { from, to, chance });
    assert.deepEqual([after.sealed, after.keyId], [before.sealed, to.id]);
    assert.equal(open(after, PLACE, to), TEXT);
    assert.throws(() => open(after, PLACE, from));
  });
});

describe("keyringOf()", () => {
  it("seals with the first key and knows all by ids that are made from them", () => {
    const { newest, byId } = ring(2, 1);
    assert.equal(newest.id, ring(2).newest.id);
    assert.deepEqual([...byId.keys()], [ring(2).newest.id, ring(1).newest.id]);
    assert.equal(keyringOf([]), null);
  });

  it("refuses what is no key, without showing it", () => {
    for (const text of ["", "hunter2", new Uint8Array(31).toBase64(), `${keyText(1)}!`]) {
      assert.equal(isMasterKey(text), false);
      assert.throws(
        () => keyringOf([text]),
        (error: Error) =>
          /32 bytes in base64/.test(error.message) && (text === "" || !error.message.includes(text)),
      );
    }
    assert.equal(isMasterKey(` ${keyText(1)}\n`), true);
  });
});

describe("Vault", () => {
  const values = { USER: "ann", PASSWORD: "correct horse" };

  it("opens with old keys what was sealed before, and seals with the newest", () => {
    const before = new Vault(ring(1), random).seal(values, PLACE);
    const vault = new Vault(ring(2, 1), random);
    assert.deepEqual(vault.open(before, PLACE), values);
    const after = vault.reseal(before, PLACE);
    assert.equal(after.keyId, vault.keyId);
    assert.deepEqual(new Vault(ring(2), random).open(after, PLACE), values);
  });

  it("says which key it lacks, or that it has none", () => {
    const sealed = new Vault(ring(1), random).seal(values, PLACE);
    assert.throws(
      () => new Vault(ring(2), random).open(sealed, PLACE),
      new RegExp(`secret "db": it is sealed with key ${sealed.keyId}.*BERTH_SECRETS_KEYS_OLD`),
    );
    assert.throws(() => new Vault(null, random).seal(values, PLACE), /BERTH_SECRETS_KEY/);
  });
});
