/** Long answers: text that is made while it is read, ended when the reader goes or the platform closes. */

/**
 * A body from a generator of text. The reader sets the pace: nothing is made ahead of it. The generator's signal
 * aborts when the reader has gone or `closing` aborts; it should then return.
 */
export function streamOf(
  closing: AbortSignal,
  make: (signal: AbortSignal) => AsyncGenerator<string>,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const gone = new AbortController();
  const source = make(AbortSignal.any([closing, gone.signal]));
  const encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      const { value, done } = await source.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
    async cancel() {
      gone.abort();
      await source.return(undefined);
    },
  }, { highWaterMark: 1 });
}
