/**
 * Takes the values of secrets out of what a container says, before it leaves the runner: as they are, and as they look in JSON, in
 * URLs, in base64 and in hex. Against accidents, such as a URL in a stack: code that means to can always spell a value otherwise. Pure.
 */
import type { DeliveredSecret, Json } from "../sdk/protocol.ts";
import { LIMITS } from "../sdk/protocol/limits.ts";
import { CUT_MARK } from "./lines.ts";

/** Shorter values are parts of too many words to be taken out. */
const LENGTH_MIN = 8;
/** Of a value that a limit has cut: what is left of it counts from this length. */
const CUT_MIN = 4;
/** Values as they stand in examples and settings: taking them out would hide more than it protects. */
const TRIVIAL = new Set(
  ("password changeme disabled required optional undefined localhost anonymous username postgres database default1 " +
    "production development testing1 internal external 127.0.0.1 0.0.0.0").split(" "),
);

interface Form {
  readonly label: string;
  /** Source of a regular expression. */
  readonly source: string;
  /** Of the value, to try longer ones first: they may hold shorter ones. */
  readonly length: number;
}

export class Redactor {
  readonly #forms: readonly Form[];
  readonly #values: readonly (readonly [value: string, label: string])[];
  readonly #pattern: RegExp | null;

  constructor(secrets: readonly DeliveredSecret[] = []) {
    this.#values = secrets.flatMap(partsOf);
    this.#forms = this.#values.flatMap(([value, label]) => formsOf(value, label))
      .sort((a, b) => b.length - a.length);
    // One group for each form tells which one it was. Lines of 200 characters: 100,000 a second with 10 values, 12,000 with 64.
    this.#pattern = this.#forms.length === 0
      ? null
      : new RegExp(this.#forms.map(({ source }) => `(${source})`).join("|"), "g");
  }

  /** @param cut whether the text was longer: then a part of a value may stand at its edges */
  text(text: string, { cut = false }: { readonly cut?: boolean } = {}): string {
    if (this.#pattern === null) return text;
    const whole = text.replace(this.#pattern, this.#label);
    return cut ? this.#withoutEdges(whole) : whole;
  }

  /** A line of a log. */
  line(text: string): string {
    const cut = text.length >= LIMITS.logLineBytes || text.startsWith(CUT_MARK) || text.endsWith(CUT_MARK);
    return this.text(text, { cut });
  }

  /** What a call says of its failure. */
  failure<F extends { readonly message: string; readonly stack?: string | undefined }>(failure: F): F {
    const { message, stack } = failure;
    return {
      ...failure,
      message: this.within(message, LIMITS.failureMessageLength),
      ...(stack === undefined ? {} : { stack: this.within(stack, LIMITS.failureStackLength) }),
    };
  }

  /** At most `limit` characters of a text that somebody may have cut there already. */
  within(text: string, limit: number): string {
    return this.text(text, { cut: text.length >= limit }).slice(0, limit);
  }

  /** The same of every text in a value, keys and numbers included. */
  json(value: Json): Json {
    return this.#pattern === null ? value : this.#deep(value);
  }

  /** Whether the end of a text may be the beginning of a value, whose rest is still to come. */
  isPending(text: string): boolean {
    return this.#values.some(([value]) => beginning(text, value) > 0);
  }

  #label = (...match: unknown[]): string => this.#forms[match.indexOf(match[0], 1) - 1]!.label;

  #withoutEdges(text: string): string {
    const from = text.startsWith(CUT_MARK) ? CUT_MARK.length : 0;
    const to = text.endsWith(CUT_MARK) ? text.length - CUT_MARK.length : text.length;
    let middle = text.slice(from, to);
    for (const [value, label] of this.#values) {
      const first = ending(middle, value);
      if (first >= CUT_MIN) middle = label + middle.slice(first);
      const last = beginning(middle, value);
      if (last >= CUT_MIN) middle = middle.slice(0, -last) + label;
    }
    return text.slice(0, from) + middle + text.slice(Math.max(from, to));
  }

  #deep(value: Json): Json {
    if (typeof value === "string") return this.text(value);
    if (typeof value === "number") {
      const text = String(value), redacted = this.text(text);
      return redacted === text ? value : redacted;
    }
    if (Array.isArray(value)) return value.map((item) => this.#deep(item));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [this.text(key), this.#deep(item)]));
  }
}

/** Characters at the end of `text` with which `value` begins, but not all of it. */
function beginning(text: string, value: string): number {
  for (let at = Math.max(0, text.length - value.length + 1); at < text.length; at++) {
    if (text[at] === value[0] && value.startsWith(text.slice(at))) return text.length - at;
  }
  return 0;
}

/** Characters at the start of `text` with which `value` ends, but not all of it. */
function ending(text: string, value: string): number {
  for (let length = Math.min(text.length, value.length - 1); length > 0; length--) {
    if (text[length - 1] === value.at(-1) && value.endsWith(text.slice(0, length))) return length;
  }
  return 0;
}

/** The values of a secret that are worth taking out. Of one with several lines each, since logs are cut into lines. */
function partsOf({ name, values }: DeliveredSecret): [value: string, label: string][] {
  return Object.entries(values).flatMap(([key, value]) => {
    const lines = value.includes("\n") ? value.split(/\r?\n/).map((line) => line.trim()) : [];
    return [...new Set([value, value.trim(), ...lines])].filter(isTelling).map((part): [string, string] => [
      part,
      `[secret ${name}.${key}]`,
    ]);
  });
}

const isTelling = (value: string): boolean =>
  value.length >= LENGTH_MIN && !TRIVIAL.has(value.toLowerCase()) && new Set(value).size > 2 &&
  !/^-----(BEGIN|END) [A-Z0-9 ]+-----$/.test(value);

function formsOf(value: string, label: string): Form[] {
  const bytes = new TextEncoder().encode(value);
  const literals = [...base64Forms(bytes), bytes.toHex(), bytes.toHex().toUpperCase()];
  const sources = [[...value].map(spelled).join(""), ...[...new Set(literals)].map(quoted)];
  return sources.map((source) => ({ label, source, length: value.length }));
}

/**
 * A value in base64, also as a part of something longer, which shifts it by up to two bytes: then the characters at its edges
 * are not its own, and are left out.
 */
function base64Forms(bytes: Uint8Array): string[] {
  const inner = [0, 1, 2].map((shift) => {
    const shifted = new Uint8Array(shift + bytes.length);
    shifted.set(bytes, shift);
    return shifted.toBase64().slice(Math.ceil(shift * 8 / 6), Math.floor(shifted.length * 8 / 6));
  });
  return [bytes.toBase64(), ...inner].flatMap((text) => [
    text,
    text.replaceAll("+", "-").replaceAll("/", "_"),
  ]);
}

/** Backslashes, as many as JSON in JSON in JSON has. */
const ESCAPE = "\\\\{1,7}";
const LETTERS: Readonly<Record<string, string>> = {
  "\n": "n",
  "\r": "r",
  "\t": "t",
  "\b": "b",
  "\f": "f",
  '"': '"',
  "/": "\\/",
};

/** One character in every way that JSON and URLs spell it. */
function spelled(character: string): string {
  if (/^[A-Za-z0-9_.-]$/.test(character)) return quoted(character);
  if (character === "\\") return `(?:\\\\{1,8}|%5[cC]|${ESCAPE}u005[cC])`;
  const units = Array.from({ length: character.length }, (_, i) => character.charCodeAt(i));
  const ways = [
    quoted(character),
    units.map((unit) => `${ESCAPE}u${anyCase(unit.toString(16).padStart(4, "0"))}`).join(""),
    [...new TextEncoder().encode(character)].map((byte) => `%${anyCase(byte.toString(16).padStart(2, "0"))}`)
      .join(""),
  ];
  const letter = LETTERS[character];
  if (letter !== undefined) ways.push(ESCAPE + letter);
  if (character === " ") ways.push("\\+");
  return `(?:${ways.join("|")})`;
}

const anyCase = (hex: string): string => hex.replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`);

const quoted = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
