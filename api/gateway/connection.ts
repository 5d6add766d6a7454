/** One connection to a container: reads and writes bytes, and while it rests, notices that the other side has gone. */

/** As much of `Deno.Conn` as is used. */
export interface Socket {
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

export type Dial = (address: string) => Promise<Socket>;

const BUFFER_BYTES = 16 * 1024;
const BUFFER_BYTES_MAX = 256 * 1024;

export class Connection {
  readonly #socket: Socket;
  #buffer: Uint8Array<ArrayBuffer> | null = null;
  #bufferBytes = BUFFER_BYTES;
  /** A read that began while nobody waited for bytes. */
  #early: Promise<number | null> | null = null;
  #onGone: (() => void) | null = null;
  #closed = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  async write(bytes: Uint8Array): Promise<void> {
    let written = 0;
    while (written < bytes.length) {
      written += await this.#socket.write(written === 0 ? bytes : bytes.subarray(written));
    }
  }

  /** The next bytes, or null at the end. Their memory is used again by the next read, unless they are {@link own}ed. */
  async read(): Promise<Uint8Array<ArrayBuffer> | null> {
    const reading = this.#early ?? this.#read();
    this.#early = null;
    const n = await reading;
    if (n === null) return null;
    const buffer = this.#buffer!;
    if (n === buffer.length) this.#bufferBytes = Math.min(n * 2, BUFFER_BYTES_MAX);
    return buffer.subarray(0, n);
  }

  /** Bytes of the last read, for good: many are handed over with their buffer, few are copied. */
  own(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const buffer = this.#buffer;
    if (buffer === null || bytes.buffer !== buffer.buffer) return bytes;
    if (bytes.length * 2 < buffer.length) return bytes.slice();
    this.#buffer = null;
    return bytes;
  }

  /** Nobody asks for anything now. Whatever comes, be it bytes or the end, makes the connection useless. */
  rest(onGone: () => void): void {
    this.#bufferBytes = BUFFER_BYTES;
    if (this.#buffer !== null && this.#buffer.length > BUFFER_BYTES) this.#buffer = null;
    this.#onGone = onGone;
    this.#early = this.#read();
    const gone = () => this.#onGone?.();
    this.#early.then(gone, gone);
  }

  /** The end of rest. The read goes on: it will be that of the next response. */
  wake(): void {
    this.#onGone = null;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onGone = null;
    this.#socket.close();
  }

  #read(): Promise<number | null> {
    this.#buffer ??= new Uint8Array(this.#bufferBytes);
    return this.#socket.read(this.#buffer);
  }
}
