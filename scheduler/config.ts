/** The environment of a scheduler process: each variable, its default and why. Read once, by main.ts. */
import { z } from "zod";

export const Config = z.object({
  /** No default: a scheduler of its own only makes sense beside a shared database. `berth up` brings scheduler and database along. */
  DATABASE_URL: z.url({
    protocol: /^postgres(ql)?$/,
    error: "must be the URL of a PostgreSQL database, postgres://…",
  }),
});
export type Config = z.infer<typeof Config>;

/** @throws TypeError that names the variable to blame */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const config = Config.safeParse(env);
  if (config.success) return config.data;
  const [{ path, message }] = config.error.issues as [z.core.$ZodIssue];
  throw new TypeError(`Cannot start the scheduler: ${path.join(".")} ${message}`);
}

/** As it may be printed. */
export const printable = ({ DATABASE_URL }: Config): Record<string, string> => {
  const url = new URL(DATABASE_URL);
  if (url.password !== "") url.password = "…";
  return { DATABASE_URL: url.href };
};
