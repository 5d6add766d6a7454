/** Connections as streams of bytes: written whole, passed on, closed without a word. */

const BUFFER_BYTES = 64 * 1024;

/** Passes bytes both ways until both sides have ended, or one of them broke. Closes both. `one` is told `first` before. */
export async function splice(one: Deno.Conn, other: Deno.Conn, first = ""): Promise<void> {
  try {
    await writeAll(one, new TextEncoder().encode(first));
    await Promise.all([pass(one, other), pass(other, one)]);
  } catch {
    // One has gone without a word; the other will notice.
  } finally {
    close(one);
    close(other);
  }
}

async function pass(from: Deno.Conn, to: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(BUFFER_BYTES);
  for (;;) {
    const n = await from.read(buffer);
    if (n === null) return await to.closeWrite();
    await writeAll(to, buffer.subarray(0, n));
  }
}

export async function writeAll(to: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) written += await to.write(bytes.subarray(written));
}

/** No error when it is closed. */
export function close(one: { close(): void }): void {
  try {
    one.close();
  } catch {
    // It has ended by itself.
  }
}
