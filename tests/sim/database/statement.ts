/** Statements as the store writes them: kept until their turn comes, then built on the connection that is to run them. */
import type { Sql } from "../../../scheduler/store/connect.ts";

export type Rows = readonly Readonly<Record<string, unknown>>[];

/** Changes the text of statements: how bugs are planted, and how what PostgreSQL would time itself is left to virtual time. */
export type Rewrite = (text: string) => string;

/** Something that becomes part of a statement. */
export interface Part {
  build(real: Sql, rewrite: Rewrite): unknown;
}

/** An identifier, a JSON value: whatever postgres.js makes by itself when it is asked. */
export class Made implements Part {
  readonly #make: (real: Sql) => unknown;

  constructor(make: (real: Sql) => unknown) {
    this.#make = make;
  }

  build(real: Sql): unknown {
    return this.#make(real);
  }
}

/** A tagged template. As in postgres.js it runs when somebody waits for it, and is a fragment when nobody does. */
export class Statement implements Part, PromiseLike<Rows> {
  readonly #strings: TemplateStringsArray;
  readonly #args: readonly unknown[];
  readonly #run: (statement: Statement) => Promise<Rows>;
  #running: Promise<Rows> | undefined;
  #text: string | undefined;

  constructor(
    strings: TemplateStringsArray,
    args: readonly unknown[],
    run: (statement: Statement) => Promise<Rows>,
  ) {
    this.#strings = strings;
    this.#args = args;
    this.#run = run;
  }

  then<A = Rows, B = never>(
    ok?: ((rows: Rows) => A | PromiseLike<A>) | null,
    failed?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return (this.#running ??= this.#run(this)).then(ok, failed);
  }

  catch<B = never>(failed?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<Rows | B> {
    return this.then(null, failed);
  }

  finally(over?: (() => void) | null): Promise<Rows> {
    return this.then().finally(over);
  }

  build(real: Sql, rewrite: Rewrite): PromiseLike<Rows> {
    const args = this.#args.map((arg) => isPart(arg) ? arg.build(real, rewrite) : arg);
    const build = real as unknown as (strings: TemplateStringsArray, ...args: unknown[]) => PromiseLike<Rows>;
    return build(rewritten(this.#strings, rewrite), ...args);
  }

  /** With a question mark in the place of each value. */
  get text(): string {
    return this.#text ??= this.#strings.map((string, i) =>
      i === 0 ? string : textOf(this.#args[i - 1]) + string
    ).join("")
      .replace(/--[^\n]*/g, "").replace(/\s+/g, " ").trim();
  }

  /** The values, also those of fragments. */
  get values(): readonly unknown[] {
    return this.#args.flatMap((arg) => arg instanceof Statement ? arg.values : [arg]);
  }
}

const isPart = (arg: unknown): arg is Part => arg instanceof Statement || arg instanceof Made;

const textOf = (arg: unknown): string => arg instanceof Statement ? arg.text : "?";

/** postgres.js knows a statement by its text, and a template by its `raw`. */
function rewritten(strings: TemplateStringsArray, rewrite: Rewrite): TemplateStringsArray {
  const texts = strings.map(rewrite);
  return texts.every((text, i) => text === strings[i]) ? strings : Object.assign(texts, { raw: texts });
}
