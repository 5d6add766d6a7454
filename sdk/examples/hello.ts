/**
 * The smallest app: one function.
 *
 *     deno task berth run sdk/examples/hello.ts --input '"world"'
 */
import { App } from "berth";

const app = new App("hello");

export const hello = app.function({}, (name: string) => `Hello, ${name}!`);
