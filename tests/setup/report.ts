/** Reading what test runs report: what counts is what was run, not what somebody typed. Pure. */

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const CASE = /<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g;

/** Counts the tests of a report; a `describe` that only holds others is not one. */
export function countTests(xml: string): Counts {
  const cases = [...xml.matchAll(CASE)].map(([, name, body = ""]) => ({ name: name!, body }));
  const parents = new Set(cases.flatMap(({ name }) => ancestors(name)));
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { name, body } of cases) {
    if (parents.has(name)) continue;
    if (body.includes("<skipped")) counts.skipped++;
    else if (body.includes("<failure") || body.includes("<error")) counts.failed++;
    else counts.passed++;
  }
  return counts;
}

/** `a`, `a > b` of the step `a > b > c`; in the report `>` is `&gt;`. */
function ancestors(name: string): string[] {
  const parts = name.split(" &gt; ");
  return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join(" &gt; "));
}

const LAST_LINES = 80;

/** The end of what a test run printed: what failed and why, or, of one that came to no end, what it was at. */
export function conclusion(printed: string): string {
  const errors = Math.max(printed.lastIndexOf(" ERRORS "), 0);
  return printed.slice(errors).trimEnd().split("\n").slice(-LAST_LINES).join("\n");
}
