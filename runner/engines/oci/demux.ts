/** The stream of an attached container taken apart: frames of stdout and stderr, each with a head of eight bytes. Pure. */

const HEAD_BYTES = 8;
const STDERR = 2;

export type Piece = readonly [stream: "stdout" | "stderr", bytes: Uint8Array<ArrayBuffer>];

export class Demux {
  readonly #head = new Uint8Array(HEAD_BYTES);
  #headLength = 0;
  /** Bytes left of the frame under way. */
  #left = 0;

  /** What these bytes hold, in their order. Frames may be cut anywhere. */
  *push(bytes: Uint8Array): Generator<Piece> {
    for (let at = 0; at < bytes.length;) {
      if (this.#left === 0) {
        at += this.#pushHead(bytes.subarray(at));
        continue;
      }
      const end = Math.min(bytes.length, at + this.#left);
      yield [this.#head[0] === STDERR ? "stderr" : "stdout", bytes.slice(at, end)];
      this.#left -= end - at;
      at = end;
    }
  }

  #pushHead(bytes: Uint8Array): number {
    const taken = bytes.subarray(0, HEAD_BYTES - this.#headLength);
    this.#head.set(taken, this.#headLength);
    this.#headLength += taken.length;
    if (this.#headLength === HEAD_BYTES) {
      this.#left = new DataView(this.#head.buffer).getUint32(4);
      this.#headLength = 0;
    }
    return taken.length;
  }
}
