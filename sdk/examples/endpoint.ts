/**
 * HTTP: a handler takes a web `Request` and gives a `Response`. Bodies stream both ways; the container starts with the first
 * request and goes when none have come for a while.
 *
 *     deno task berth deploy sdk/examples/endpoint.ts
 *     curl URL/e/endpoint/greet/world            # `berth deploy` prints the URL
 *     curl -N URL/e/endpoint/clock
 */
import { App } from "berth";

const app = new App("endpoint");

export const greet = app.endpoint({ auth: "public" }, (request) => {
  const name = new URL(request.url).pathname.split("/").at(-1);
  return new Response(`Hello, ${name}!\n`);
});

/** Three server-sent events, each sent as it is made. */
export const clock = app.endpoint({ auth: "public", concurrency: 20 }, () => {
  const events = async function* () {
    for (let n = 1; n <= 3; n++) {
      yield `data: tick ${n}\n\n`;
      await new Promise((done) => setTimeout(done, 300));
    }
  };
  const body = ReadableStream.from(events()).pipeThrough(new TextEncoderStream());
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
});
