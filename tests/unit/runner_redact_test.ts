import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Redactor } from "../../runner/redact.ts";
import { LIMITS } from "../../sdk/protocol.ts";
import { dice } from "../setup/snapshots.ts";

const redactor = (values: Record<string, string>, name = "db") => new Redactor([{ name, as: "env", values }]);

const PASSWORD = 'p"ss/w\\rd+wïth € & 😀';
const LABEL = "[secret db.PASSWORD]";

/** A value in each way that it may come along. */
const FORMS: Readonly<Record<string, (value: string) => string>> = {
  raw: (value) => value,
  json: (value) => JSON.stringify(value).slice(1, -1),
  "json in json": (value) => JSON.stringify(JSON.stringify(value).slice(1, -1)).slice(1, -1),
  "ascii json": (value) =>
    JSON.stringify(value).slice(1, -1).replace(
      /[\u0080-\uffff]/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
    ),
  "url component": encodeURIComponent,
  "url component in lower case": (value) =>
    encodeURIComponent(value).replace(/%../g, (byte) => byte.toLowerCase()),
  "path of a url": (value) => encodeURIComponent(value).replaceAll("%2F", "/"),
  form: (value) => new URLSearchParams({ v: value }).toString().slice(2),
  hex: (value) => new TextEncoder().encode(value).toHex(),
  "upper case hex": (value) => new TextEncoder().encode(value).toHex().toUpperCase(),
};

const base64 = (text: string) => new TextEncoder().encode(text).toBase64();

describe("Redactor", () => {
  it("takes a value out in every form, and says whose it was", () => {
    const some = redactor({ PASSWORD });
    for (const [form, of] of Object.entries(FORMS)) {
      assert.equal(some.text(`before ${of(PASSWORD)} after`), `before ${LABEL} after`, form);
    }
  });

  it("takes a value out of base64, alone or with something before and after it", () => {
    const some = redactor({ PASSWORD });
    assert.equal(some.text(`basic ${base64(PASSWORD)}.`), `basic ${LABEL}.`);
    for (const user of ["", "a", "ab", "abc", "user:"]) {
      for (const rest of ["", "x", "yz", "tail"]) {
        const redacted = some.text(base64(user + PASSWORD + rest));
        assert.ok(redacted.includes(LABEL), `${user} ${rest}`);
        assert.ok(!new RegExp(base64(PASSWORD).slice(4, 16)).test(redacted));
      }
    }
  });

  it("leaves other text as it is, and is nothing without secrets", () => {
    const line = "epoch 3 of 20, loss 0.25 😀";
    assert.equal(redactor({ PASSWORD }).text(line), line);
    assert.equal(new Redactor().text(line), line);
    const value = { a: [line, 1, null, true] };
    assert.equal(new Redactor().json(value), value);
    assert.deepEqual(redactor({ PASSWORD }).json(value), value);
  });

  it("leaves alone what is too short or too common", () => {
    for (const value of ["short", "1234567", "password", "localhost", "aaaaaaaaaa", "abababab"]) {
      assert.equal(redactor({ V: value }).text(`say ${value}`), `say ${value}`, value);
    }
  });

  it("tries longer values first, so that no part of one stays behind", () => {
    const both = redactor({ HOST: "db.example.com", URL: "postgres://ann:pw@db.example.com/x" });
    assert.equal(both.text("to postgres://ann:pw@db.example.com/x"), "to [secret db.URL]");
    assert.equal(both.text("to db.example.com"), "to [secret db.HOST]");
  });

  it("takes the lines of a value out by themselves, and leaves marks that say nothing", () => {
    const key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----\n";
    const pem = redactor({ PEM: key });
    assert.equal(pem.text("MIIEvQIBADANBg"), "[secret db.PEM]");
    assert.equal(pem.text("-----BEGIN PRIVATE KEY-----"), "-----BEGIN PRIVATE KEY-----");
    assert.equal(pem.text(key), "[secret db.PEM]");
    assert.equal(pem.text(JSON.stringify({ key })), '{"key":"[secret db.PEM]"}');
  });

  it("takes values out of JSON values, their keys and numbers too", () => {
    const some = redactor({ PASSWORD, PIN: "1234567890" });
    assert.deepEqual(some.json({ [PASSWORD]: [PASSWORD, { n: 1234567890, m: 1 }], ok: true, no: null }), {
      [LABEL]: [LABEL, { n: "[secret db.PIN]", m: 1 }],
      ok: true,
      no: null,
    });
  });

  it("takes parts of a value off the edges of a text that was cut", () => {
    const some = redactor({ TOKEN: "hf_0123456789abcdef" });
    const cut = (text: string) => some.text(text, { cut: true });
    assert.equal(cut("the token is hf_01234"), "the token is [secret db.TOKEN]");
    assert.equal(some.line("the token is hf_01234…"), "the token is [secret db.TOKEN]…");
    assert.equal(some.line("…89abcdef was it"), "…[secret db.TOKEN] was it");
    assert.equal(some.line("…"), "…");
    assert.equal(some.line("the token is hf_01234"), "the token is hf_01234");
    assert.equal(cut("the token is hf_"), "the token is hf_"); // too little to be told from a word
    const long = "x".repeat(LIMITS.failureMessageLength - 10) + "hf_0123456789abcdef";
    const { message } = some.failure({
      message: long.slice(0, LIMITS.failureMessageLength),
      retryable: true,
    });
    assert.ok(message.length <= LIMITS.failureMessageLength && !message.includes("hf_"));
  });

  it("knows when the rest of a value may be still to come", () => {
    const some = redactor({ TOKEN: "hf_0123456789abcdef" });
    assert.equal(some.isPending("the token is h"), true);
    assert.equal(some.isPending("the token is hf_01235"), false);
    assert.equal(some.isPending("the token is hf_0123456789abcdef"), false);
    assert.equal(new Redactor().isPending("anything"), false);
  });

  it("leaves nothing of any value in any form, whatever is around it", () => {
    for (let seed = 0; seed < 300; seed++) {
      const { upTo, pick } = dice(seed);
      const letters = [..."abcXYZ019_-.~!*'()/+%\\\"&= \t\né€😀"];
      const word = (least: number, most: number) =>
        Array.from({ length: least + upTo(most - least) }, () => pick(letters)).join("");
      const value = `v${upTo(9)}Q${word(8, 30)}Qv`; // it begins and ends with letters: what is trimmed is another test
      const [form, of] = pick(Object.entries(FORMS));
      const text = `${pick(["", "x", word(1, 9)])} ${of(value)} ${word(0, 9)}`;
      const redacted = redactor({ PASSWORD: value }).text(text);
      const told = JSON.stringify({ seed, form, value, text, redacted });
      assert.ok(redacted.includes(LABEL), told);
      for (const every of Object.values(FORMS)) assert.ok(!redacted.includes(every(value)), told);
      const plain = word(0, 200);
      if (!plain.includes(value)) assert.equal(redactor({ PASSWORD: value }).text(plain), plain);
    }
  });

  it("is not slowed down by text that is made to", () => {
    const hostile = redactor({ A: '"\\"\\"\\"\\"x', B: "         x" });
    const began = performance.now();
    for (const text of ["\\".repeat(16_384), '\\"'.repeat(8_192), " ".repeat(16_384), "%20".repeat(5_000)]) {
      hostile.text(text);
    }
    assert.ok(performance.now() - began < 1_000);
  });
});
