/**
 * A server: any program that listens on `$PORT`. It starts with the first request, is asked at `health` whether it is well, has
 * time to end its requests when it goes, and then gets SIGTERM; what it prints is kept.
 *
 *     deno task berth deploy sdk/examples/server.ts
 *     curl URL/e/server/web/                     # `berth deploy` prints the URL
 *     berth logs -f server/web
 */
import { App } from "berth";

const app = new App("server");

export const web = app.server({
  command: ["python3", "-m", "http.server", "--bind", "127.0.0.1", "$PORT"],
  files: ["server/index.html"],
  health: "/server/index.html",
  auth: "public",
  concurrency: 16,
});
