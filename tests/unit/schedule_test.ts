import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Schedule } from "../../scheduler/model.ts";
import { fire, nextTick, scheduleProblem } from "../../scheduler/schedule.ts";
import { dice } from "../setup/snapshots.ts";

const at = (iso: string): number => Date.parse(iso);
const iso = (ms: number | null): string | null => ms === null ? null : new Date(ms).toISOString();

const ticks = (cron: string, timeZone: string, from: string, n: number): (string | null)[] => {
  const found: (string | null)[] = [];
  for (let after: number | null = at(from); after !== null && found.length < n;) {
    after = nextTick(cron, timeZone, after);
    found.push(iso(after));
  }
  return found;
};

const schedule = (cron: string, nextAt: number, timeZone = "UTC"): Schedule => ({
  id: "sched_1",
  functionId: 1,
  workspace: "default",
  method: "nightly",
  cron,
  timeZone,
  input: null,
  nextAt,
});

describe("nextTick()", () => {
  it("reads five fields in the zone it is given", () => {
    assert.deepEqual(ticks("0 3 * * *", "Asia/Seoul", "2026-01-01T00:00:00Z", 2), [
      "2026-01-01T18:00:00.000Z",
      "2026-01-02T18:00:00.000Z",
    ]);
  });

  it("reads six fields, seconds first", () => {
    assert.deepEqual(ticks("*/20 * * * * *", "UTC", "2026-01-01T00:00:30Z", 2), [
      "2026-01-01T00:00:40.000Z",
      "2026-01-01T00:01:00.000Z",
    ]);
  });

  it("is after the instant it is given, even on a tick", () => {
    assert.equal(iso(nextTick("0 0 * * *", "UTC", at("2026-01-01T00:00:00Z"))), "2026-01-02T00:00:00.000Z");
  });

  it("fires at the end of the gap when daylight saving skips the time", () => {
    assert.deepEqual(ticks("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2), [
      "2026-03-08T07:00:00.000Z",
      "2026-03-09T06:30:00.000Z",
    ]);
  });

  it("fires once when daylight saving repeats the time", () => {
    assert.deepEqual(ticks("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2), [
      "2026-11-01T05:30:00.000Z",
      "2026-11-02T06:30:00.000Z",
    ]);
  });

  it("goes on through the repeated hour when the cron names an interval", () => {
    assert.deepEqual(ticks("0 * * * *", "America/New_York", "2026-11-01T04:30:00Z", 3), [
      "2026-11-01T05:00:00.000Z",
      "2026-11-01T06:00:00.000Z",
      "2026-11-01T07:00:00.000Z",
    ]);
  });

  it("is null when no date will come", () =>
    assert.equal(nextTick("0 0 30 2 *", "UTC", at("2026-01-01T00:00:00Z")), null));
});

describe("fire()", () => {
  it("fires the tick that has come and names the next", () => {
    const daily = schedule("0 0 * * *", at("2026-01-02T00:00:00Z"));
    const { tickAt, nextAt } = fire(daily, at("2026-01-02T00:00:00.250Z"));
    assert.deepEqual([iso(tickAt), iso(nextAt)], ["2026-01-02T00:00:00.000Z", "2026-01-03T00:00:00.000Z"]);
  });

  it("fires exactly on the tick", () => {
    const daily = schedule("0 0 * * *", at("2026-01-02T00:00:00Z"));
    assert.equal(iso(fire(daily, daily.nextAt).tickAt), "2026-01-02T00:00:00.000Z");
  });

  it("fires once for many missed ticks, as the latest", () => {
    const secondly = schedule("* * * * * *", at("2026-01-01T00:00:00Z"));
    const { tickAt, nextAt } = fire(secondly, at("2026-01-31T07:00:00.900Z"));
    assert.deepEqual([iso(tickAt), iso(nextAt)], ["2026-01-31T07:00:00.000Z", "2026-01-31T07:00:01.000Z"]);
  });

  it("fires no tick from before the schedule's next one, such as one that a pause skipped", () => {
    const daily = schedule("0 0 * * *", at("2026-01-02T06:00:00Z"));
    const { tickAt, nextAt } = fire(daily, at("2026-01-02T07:00:00Z"));
    assert.deepEqual([tickAt, iso(nextAt)], [null, "2026-01-03T00:00:00.000Z"]);
  });

  it("names the last tick up to now and the first after it, in any zone (300 seeds)", () => {
    const crons = [
      "*/15 1 * * *",
      "30 2 * * *",
      "0 * * * *",
      "*/7 * * * *",
      "15,45 */3 * * *",
      "0 0 * * 1",
      "59 59 23 * * *",
    ];
    const zones = [
      "America/New_York",
      "Europe/Berlin",
      "Australia/Lord_Howe",
      "UTC",
      "Asia/Seoul",
      "Africa/Casablanca",
    ];
    for (let seed = 0; seed < 300; seed++) {
      const { pick, upTo } = dice(seed);
      const [cron, zone] = [pick(crons), pick(zones)];
      const start = Date.UTC(
        2026,
        pick([2, 9, 10, 3]),
        1 + upTo(29),
        upTo(23),
        upTo(59),
        upTo(59),
        upTo(999),
      );
      const first = nextTick(cron, zone, start)!;
      const now = first + upTo(3 * 24 * 3_600_000);
      const { tickAt, nextAt } = fire(schedule(cron, first, zone), now);
      const what = `seed ${seed}: ${cron} ${zone} ${iso(now)}`;
      assert.ok(tickAt !== null && tickAt >= first && tickAt <= now && nextAt! > now, what);
      assert.equal(nextTick(cron, zone, tickAt), nextAt, what);
    }
  });
});

describe("scheduleProblem()", () => {
  const now = at("2026-01-01T00:00:00Z");
  const problem = (cron: string, timeZone = "UTC") => scheduleProblem(cron, timeZone, now);

  it("finds none in what croner can fire", () => {
    for (
      const cron of [
        "0 3 * * *",
        "*/5 * * * *",
        "*/10 * * * * *",
        "0 0 29 2 *",
        "0 0 * JAN MON",
        "0 12 L * *",
      ]
    ) {
      assert.equal(problem(cron, "Asia/Seoul"), null, cron);
    }
  });

  it("counts the fields", () => {
    assert.equal(
      problem(""),
      "a cron has five fields (minute hour day month weekday) or six (second first), this has 0",
    );
    for (const cron of ["hello", "* * * *", "* * * * * * *", "@daily", "2026-01-05T00:00:00"]) {
      assert.match(problem(cron)!, /^a cron has five fields/, cron);
    }
  });

  it("names the field that is out of range", () => {
    assert.equal(problem("61 * * * *"), "Invalid value for minute: 61");
    assert.equal(problem("0 0 * * 8"), "Invalid value for dayOfWeek: 8");
    assert.match(problem("*/0 * * * *")!, /illegal stepping/);
    assert.match(problem("a b c d e")!, /./);
  });

  it("refuses time zones that do not exist, and offsets", () => {
    for (const zone of ["Mars/Phobos", "", "+09:00", "Europe/Berlin; drop table"]) {
      assert.equal(
        problem("0 3 * * *", zone),
        `"${zone}" is not an IANA time zone such as "Asia/Seoul" or "UTC"`,
      );
    }
  });

  it("refuses dates that never come", () =>
    assert.equal(problem("0 0 30 2 *"), "it names no date that will ever come"));
});
