/**
 * Drains preloaded no-op jobs with graphile-worker, tuned as its own performance test tunes it, and prints the rate.
 * Arguments: address of an empty database, number of jobs.
 */
import process from "node:process";

// By names that no type checker follows: the packages are installed only beside the copy that runs.
const [worker, postgres] = ["graphile-worker", "pg"];
const { Logger, makeWorkerUtils, run, runMigrations } = await import(worker);
const { default: pg } = await import(postgres);

const [connectionString, jobs] = [process.argv[2], Number(process.argv[3])];
const concurrentJobs = 24;
const logger = new Logger(() => () => {});
const preset = {
  worker: {
    concurrentJobs,
    localQueue: { size: 500, ttl: 300_000, refetchDelay: { durationMs: 100, threshold: 0 } },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
};

const pgPool = new pg.Pool({ connectionString, max: concurrentJobs + 4 });
pgPool.on("error", () => {});
pgPool.on("connect", (client) => client.on("error", () => {}));
await pgPool.query("drop schema if exists graphile_worker cascade");
await runMigrations({ pgPool, logger });
await (await makeWorkerUtils({ pgPool, logger })).release();
await pgPool.query(
  `select graphile_worker.add_jobs(array(
     select json_populate_record(null::graphile_worker.job_spec, json_build_object('identifier', 'noop', 'payload', json_build_object('n', n)))
     from generate_series(1, $1::int) n))`,
  [jobs],
);

let left = jobs;
let onDrained = () => {};
const drained = new Promise((resolve) => onDrained = resolve);
const noop = () => {
  if (--left === 0) onDrained();
};
const startedAt = performance.now();
const runner = await run({ preset, pgPool, logger, noHandleSignals: true, taskList: { noop } });
await drained;
await runner.stop();
const seconds = (performance.now() - startedAt) / 1_000;
console.log(JSON.stringify({ rate: jobs / seconds }));
process.exit(0);
