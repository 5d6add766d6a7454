/**
 * Secrets: values that a function is given and nobody is shown. First make one, then run:
 *
 *     deno task berth secret set mail MAIL_KEY                       # asks for the value
 *     deno task berth run sdk/examples/secrets.ts --input '"hello"'
 */
import { App, Secret } from "berth";

const app = new App("secrets");

/** Signs a message with the key, as services do that must not learn it. What is logged of it is taken out. */
export const sign = app.function({ secrets: [Secret.fromName("mail")] }, async (message: string, ctx) => {
  const bytes = new TextEncoder();
  const secret = bytes.encode(ctx.secret("MAIL_KEY")); // or the variable: Deno.env.get("MAIL_KEY")
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", secret, algorithm, false, ["sign"]);
  ctx.log("signing with", { key: ctx.secret("MAIL_KEY") }); // shows as [secret mail.MAIL_KEY]
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes.encode(message))).toHex();
});
