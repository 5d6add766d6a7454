/** Reading a line from a terminal that does not show it. */

const ENTER = [10, 13];
const BACKSPACE = [8, 127];
const CTRL_C = 3;
const CTRL_D = 4;

/** The terminal, as far as this needs it. */
export interface HiddenTerminal {
  isTerminal(): boolean;
  setRaw(raw: boolean): void;
  readonly readable: ReadableStream<Uint8Array>;
}

/** What was typed until Enter; null where there is no terminal, or the user gave up. */
export async function readHidden(
  terminal: HiddenTerminal,
  question: string,
  write: (text: string) => void,
): Promise<string | null> {
  if (!terminal.isTerminal()) return null;
  write(question);
  terminal.setRaw(true);
  const reader = terminal.readable.getReader();
  try {
    return await lineOf(reader);
  } finally {
    reader.releaseLock();
    terminal.setRaw(false);
    write("\n");
  }
}

async function lineOf(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string | null> {
  const typed: number[] = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return null;
    for (const byte of value) {
      if (ENTER.includes(byte)) return new TextDecoder().decode(new Uint8Array(typed));
      if (byte === CTRL_C || byte === CTRL_D) return null;
      if (BACKSPACE.includes(byte)) removeLast(typed);
      else typed.push(byte);
    }
  }
}

/** One character, of as many bytes as it has. */
function removeLast(typed: number[]): void {
  while (typed.length > 0 && (typed.pop()! & 0xc0) === 0x80);
}
