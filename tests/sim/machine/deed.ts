/** What a call does, written in its input, and what it returns: who ran it, so that results can be held against leases. */
import type { Json } from "../../../sdk/protocol.ts";

/**
 * `return` after a while · `throw` at each attempt · `stumble` at the first `times` attempts · `hang` until it is cancelled or killed ·
 * `exit` ends its process · `grow` uses more memory than there is.
 */
export type Doing = "return" | "throw" | "stumble" | "hang" | "exit" | "grow";

export interface Deed {
  /** Which one of the client's calls. */
  readonly n: number;
  readonly do: Doing;
  readonly ms: number;
  readonly times?: number;
  /** Does not end when it is told to. */
  readonly deaf?: boolean;
}

export interface Done {
  readonly n: number;
  readonly call: string;
  readonly attempt: number;
  readonly container: string;
}

export const isDeed = (input: unknown): input is Deed =>
  typeof input === "object" && input !== null && "do" in input && "ms" in input;

export const asJson = (deed: Deed): Json => ({ ...deed });
