/** A scheduler as a process of its own. Start as many as you like: one leads, the others take over when it is gone. */
import { newId, realClock, realLog, realRandom } from "../sdk/ports.ts";
import { printable, readConfig } from "./config.ts";
import { createScheduler } from "./loop.ts";
import { connect } from "./store/connect.ts";
import { SharedWakes } from "./wakes.ts";

const config = readConfig(Deno.env.toObject());
realLog("scheduler.starting", printable(config));

const sql = connect(config.DATABASE_URL, { max: 1, name: "berth scheduler" });
const hints = connect(config.DATABASE_URL, { max: 2, name: "berth scheduler wakes", durable: false });
const wakes = await SharedWakes.listen(hints, newId("sch", { clock: realClock, random: realRandom }));
const scheduler = createScheduler({ sql, clock: realClock, random: realRandom, log: realLog, wakes });

const stop = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, () => stop.abort());
await scheduler.run(stop.signal);
await Promise.all([sql.end({ timeout: 5 }), hints.end({ timeout: 5 })]);
Deno.exit(0);
