/**
 * Artifacts that the calls of one guest publish: their pieces, which come between other frames, gathered in a file each and hashed on
 * the way, until they are whole.
 */
import { createHash, type Hash } from "node:crypto";
import { LIMITS } from "../sdk/protocol.ts";
import type { ArtifactOf, LeaseOf } from "./api.ts";
import type { GuestFrame } from "./frames.ts";
import type { BodySink } from "./services.ts";
import { SpoolFile } from "./spool.ts";

export type PieceFrame = Extract<GuestFrame, { t: "artifact-save" }>;

/** A whole artifact, in a file. */
export type Uploaded = ArtifactOf & { readonly path: string };

export interface UploadsDeps {
  newFile(): string;
  /** Says no to request `n`, and takes what still comes of it. */
  refuse(n: number, message: string): BodySink;
  /** All bytes of request `n` are there. */
  whole(n: number, upload: Uploaded): void;
}

interface Upload {
  readonly by: LeaseOf;
  readonly name: string;
  readonly file: SpoolFile;
  readonly hash: Hash;
}

/** Artifacts of one guest at a time. */
const UPLOADS_MAX = 16;
const NOTHING: BodySink = { piece: () => {}, end: () => {} };

export class Uploads {
  readonly #deps: UploadsDeps;
  readonly #open = new Map<number, Upload>();

  constructor(deps: UploadsDeps) {
    this.#deps = deps;
  }

  /** Takes one piece. The first says which call publishes; what follows a refusal is dropped. */
  piece({ n, name, at, bytes }: PieceFrame, by: LeaseOf | null): BodySink {
    const upload = at === 0 && !this.#open.has(n) ? this.#begin(n, name, by) : this.#open.get(n);
    if (upload === undefined) return NOTHING;
    if (at !== upload.file.size) {
      return this.#giveUp(n, upload, `its pieces must follow each other, byte ${at} does not`);
    }
    if (at + bytes > LIMITS.artifactBytes) {
      return this.#giveUp(n, upload, `it may have ${LIMITS.artifactBytes} bytes at most`);
    }
    return bytes === 0 ? { piece: () => {}, end: () => this.#end(n, upload) } : sinkOf(upload);
  }

  /** Lets go of all that is under way. */
  close(): void {
    for (const { file } of this.#open.values()) file.close();
    this.#open.clear();
  }

  #begin(n: number, name: string, by: LeaseOf | null): Upload | undefined {
    if (by === null || this.#open.size >= UPLOADS_MAX) {
      const why = by === null ? "the call has ended" : `${UPLOADS_MAX} others are under way`;
      return void this.#deps.refuse(n, why);
    }
    const file = new SpoolFile(this.#deps.newFile());
    const upload = { by, name, file, hash: createHash("sha256") };
    this.#open.set(n, upload);
    return upload;
  }

  #end(n: number, upload: Upload): void {
    const { by, name, file, hash } = upload;
    const failure = file.close();
    if (failure !== null) return void this.#drop(n, upload, failure);
    this.#open.delete(n);
    this.#deps.whole(n, { by, name, path: file.path, size: file.size, digest: hash.digest("hex") });
  }

  #giveUp(n: number, upload: Upload, why: string): BodySink {
    upload.file.close();
    return this.#drop(n, upload, why);
  }

  #drop(n: number, { file }: Upload, why: string): BodySink {
    this.#open.delete(n);
    Deno.removeSync(file.path);
    return this.#deps.refuse(n, why);
  }
}

const sinkOf = ({ file, hash }: Upload): BodySink => ({
  piece: (bytes) => {
    hash.update(bytes);
    file.write(bytes);
  },
  end: () => {},
});
