/** Streams of text as they arrive, cut where they may be cut: newline-delimited JSON and server-sent events. Pure. */

/** Bytes in, whole lines out. */
export class LineReader {
  readonly #decoder = new TextDecoder();
  #rest = "";

  /** The lines that these bytes complete, as one text without the last newline; undefined when they complete none. */
  push(bytes: Uint8Array): string | undefined {
    const text = this.#rest + this.#decoder.decode(bytes, { stream: true });
    const end = text.lastIndexOf("\n");
    this.#rest = text.slice(end + 1);
    return end < 0 ? undefined : text.slice(0, end);
  }
}

/** The values of newline-delimited JSON. One parse for all lines: a newline cannot stand inside a JSON text. */
export function parseLines<T>(text: string): T[] {
  return JSON.parse(`[${text.replaceAll("\n", ",")}]`);
}

/** One server-sent event. */
export interface ServerEvent {
  readonly id: string | undefined;
  readonly event: string;
  readonly data: string;
}

/** Server-sent events out of lines; keeps one that is not complete for the next lines. */
export class EventReader {
  #id: string | undefined;
  #event = "message";
  #data: string[] = [];

  push(lines: string): ServerEvent[] {
    return lines.split("\n").flatMap((line) => this.#line(line));
  }

  #line(line: string): ServerEvent[] {
    const text = line.endsWith("\r") ? line.slice(0, -1) : line;
    if (text === "") return this.#end();
    const colon = text.indexOf(":");
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + (text[colon + 1] === " " ? 2 : 1));
    if (field === "id") this.#id = value;
    else if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    return [];
  }

  #end(): ServerEvent[] {
    const complete = this.#data.length === 0
      ? []
      : [{ id: this.#id, event: this.#event, data: this.#data.join("\n") }];
    this.#event = "message";
    this.#data = [];
    return complete;
  }
}
