/** Addresses that a runner gives to containers, and what this machine's table of routes says of them. IPv4. Pure. */
import { isIPv4 } from "node:net";

/** As `10.77.0.0/20` says: so many addresses from there on. */
export class Block {
  readonly text: string;
  readonly #first: number;
  readonly #bits: number;

  /** @throws RangeError when it is none, or has no room */
  constructor(text: string) {
    const [, address = "", bits = ""] = /^([\d.]+)\/(\d+)$/.exec(text) ?? [];
    const first = numberOf(address);
    this.#bits = Number(bits);
    const hasRoom = this.#bits >= LARGEST && this.#bits <= SMALLEST;
    if (!isIPv4(address) || !hasRoom || first % this.size !== 0) {
      throw new RangeError(`must be ADDRESS/BITS, such as 10.77.0.0/20, with ${LARGEST} to ${SMALLEST} bits`);
    }
    this.text = text;
    this.#first = first;
  }

  get size(): number {
    return 2 ** (32 - this.#bits);
  }

  /** That of this machine on each link. */
  get gateway(): string {
    return textOf(this.#first + 1);
  }

  /** One for a container: another for each index, until they are used up. */
  at(index: number): string {
    return textOf(this.#first + 2 + index % (this.size - 3)); // nor the last, which some take for all
  }

  /** A route of this machine that leads to some of it elsewhere. */
  takenBy(routes: readonly Route[]): Route | null {
    const overlaps = ({ destination, bits }: Route) => {
      const size = 2 ** (32 - Math.min(bits, this.#bits)); // of the wider one
      return Math.floor(destination / size) === Math.floor(this.#first / size);
    };
    return routes.find((route) => route.bits > 0 && overlaps(route)) ?? null;
  }

  toJSON(): string {
    return this.text;
  }
}

const LARGEST = 8;
const SMALLEST = 28;

/** Set aside for measurements between networks (RFC 2544), so that hardly anybody has them: many containers' worth. */
export const USUAL_BLOCK = new Block("198.19.0.0/18");

export interface Route {
  readonly device: string;
  readonly destination: number;
  /** Of the destination, that count; 0 for all that no other route leads to. */
  readonly bits: number;
}

/** Reads `/proc/net/route`. */
export const parseRoutes = (text: string): Route[] =>
  text.split("\n").slice(1).filter((line) => line !== "").map((line) => {
    const [device, destination, , , , , , mask] = line.split("\t") as [string, ...string[]];
    return { device, destination: fromKernel(destination!), bits: bitsOf(fromKernel(mask!)) };
  });

/** The kernel writes the bytes down as they lie in memory. */
const fromKernel = (hex: string): number => {
  const bytes = Uint8Array.fromHex(hex);
  return new DataView(bytes.buffer).getUint32(0, true);
};

const bitsOf = (mask: number): number => mask.toString(2).replaceAll("0", "").length;

function numberOf(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

const textOf = (address: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
