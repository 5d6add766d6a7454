/**
 * Many calls at once: a function that maps another one over its inputs. Each is a durable call of its own.
 *
 *     deno task berth run sdk/examples/map.ts:primesBelow --input 1000
 */
import { App } from "berth";

const app = new App("map");

/** Runs in up to four containers. */
export const isPrime = app.function({ scale: { max: 4 } }, (n: number) => {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return n > 1;
});

/** Results come in the order of the inputs, as a stream: neither side holds them all. */
export const primesBelow = app.function({}, async (limit: number) => {
  const numbers = Array.from({ length: limit }, (_, n) => n);
  let [n, primes] = [0, 0];
  for await (const prime of isPrime.map(numbers)) {
    if (prime) primes++;
    n++;
  }
  return { tried: n, primes };
});
