// Measures one npm job queue on PostgreSQL, a peer of our own queue; README.md says how.
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import pg from 'pg';
import PgBoss from 'pg-boss';

const QUEUE = 'bench';
const WARM_UP = 200;
const BULK = 1000;

// The settings kept after trying several; README.md says which.
const PG_BOSS_WORK = { batchSize: 2000, loops: 2 };
const GRAPHILE_WORK = {
  concurrentJobs: 100,
  localQueue: { size: 2000 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};

function readOptions() {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      peer: { type: 'string' },
      what: { type: 'string' },
      count: { type: 'string' },
      callers: { type: 'string', default: '16' },
    },
  });
  const { url, peer, what } = values;
  if (!url) throw new Error('--url is missing');
  if (!Object.hasOwn(PEERS, peer ?? '')) {
    throw new Error(`--peer must be one of ${Object.keys(PEERS).join(', ')}`);
  }
  if (what !== 'starts' && what !== 'lifecycle') {
    throw new Error('--what must be starts or lifecycle');
  }
  const count = whole(values.count, '--count');
  const callers = whole(values.callers, '--callers');
  return { url, peer, what, count, callers };
}

function whole(word, name) {
  const number = Number(word);
  if (!Number.isInteger(number) || number < 1) throw new Error(`${name} must be a whole number from 1`);
  return number;
}

/** About 200 bytes as JSON, the same for both peers. */
function payload(index) {
  return {
    order: String(index).padStart(12, '0'),
    tenant: 'tenant-0001',
    action: 'provision',
    note: 'x'.repeat(120),
  };
}

/** Enqueues `count` distinct keys from `callers` at once; each waits for its call before the next. */
async function enqueueAll(enqueue, prefix, count, callers) {
  let next = 0;
  const caller = async () => {
    while (next < count) {
      const index = next++;
      await enqueue(`${prefix}-${index}`, payload(index));
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

async function timed(work) {
  const begin = performance.now();
  await work();
  return (performance.now() - begin) / 1000;
}

async function inBulk(count, insert) {
  for (let first = 0; first < count; first += BULK) {
    const length = Math.min(BULK, count - first);
    await insert(Array.from({ length }, (_, offset) => payload(first + offset)));
  }
}

function expectCount(found, wanted, noun) {
  if (Number(found) !== wanted) throw new Error(`${found} ${noun} in the database, expected ${wanted}`);
}

async function withPool(url, size, use) {
  const pool = new pg.Pool({ connectionString: url, max: size, idleTimeoutMillis: 0 });
  const report = (error) => console.error(`pool: ${error.message}`);
  pool.on('error', report);
  pool.on('connect', (client) => client.on('error', report));
  try {
    return await use(pool);
  } finally {
    await pool.end();
  }
}

async function pgBoss({ url, what, count, callers }) {
  return withPool(url, callers, async (pool) => {
    const boss = new PgBoss({
      connectionString: url,
      max: callers,
      supervise: false,
      schedule: false,
    });
    boss.on('error', (error) => console.error(`pg-boss: ${error.message}`));
    await boss.start();
    try {
      return await (what === 'starts' ? pgBossStarts : pgBossLifecycle)(boss, pool, count, callers);
    } finally {
      await boss.stop({ graceful: false, close: true });
    }
  });
}

async function pgBossStarts(boss, pool, count, callers) {
  // 'stately': at most one queued and one active job for a singletonKey
  await boss.createQueue(QUEUE, { policy: 'stately' });
  const enqueue = async (singletonKey, data) => {
    const id = await boss.send(QUEUE, data, { singletonKey });
    if (!id) throw new Error(`pg-boss did not take the job with the key ${singletonKey}`);
  };
  await enqueueAll(enqueue, 'warm', WARM_UP, callers);
  const seconds = await timed(() => enqueueAll(enqueue, 'key', count, callers));
  const { rows } = await pool.query('select count(*) as found from pgboss.job where name = $1', [QUEUE]);
  expectCount(rows[0].found, WARM_UP + count, 'jobs');
  return seconds;
}

async function pgBossLifecycle(boss, pool, count) {
  await boss.createQueue(QUEUE);
  await inBulk(count, (list) => boss.insert(list.map((data) => ({ name: QUEUE, data }))));
  await pool.query('analyze'); // as autovacuum would have by then
  let fetched = 0;
  let idle = 0;
  const loop = async () => {
    while (fetched < count) {
      const jobs = await boss.fetch(QUEUE, { batchSize: PG_BOSS_WORK.batchSize });
      if (jobs.length === 0) {
        // pg-boss reports a failed fetch as an empty one
        if (fetched < count && ++idle > 1000) throw new Error('pg-boss finds no more jobs before the end');
        await sleep(1);
        continue;
      }
      fetched += jobs.length;
      await boss.complete(QUEUE, jobs.map((job) => job.id));
    }
  };
  const seconds = await timed(() => Promise.all(Array.from({ length: PG_BOSS_WORK.loops }, loop)));
  const { rows } = await pool.query(
    "select count(*) as found from pgboss.job where name = $1 and state = 'completed'",
    [QUEUE],
  );
  expectCount(rows[0].found, count, 'completed jobs');
  return seconds;
}

// graphile-worker's own logger writes to stdout
const logger = new Logger(() => (level, message) => {
  if (level === 'error' || level === 'warning') console.error(`graphile-worker: ${message}`);
});

async function graphileWorker({ url, what, count, callers }) {
  return withPool(url, callers, async (pool) => {
    const utils = await makeWorkerUtils({ pgPool: pool, logger });
    try {
      await utils.migrate();
      return await (what === 'starts' ? graphileStarts : graphileLifecycle)(utils, pool, count, callers);
    } finally {
      await utils.release();
    }
  });
}

async function graphileStarts(utils, pool, count, callers) {
  const enqueue = (jobKey, data) => utils.addJob(QUEUE, data, { jobKey });
  await enqueueAll(enqueue, 'warm', WARM_UP, callers);
  const seconds = await timed(() => enqueueAll(enqueue, 'key', count, callers));
  const { rows } = await pool.query('select count(*) as found from graphile_worker.jobs');
  expectCount(rows[0].found, WARM_UP + count, 'jobs');
  return seconds;
}

async function graphileLifecycle(utils, pool, count) {
  await inBulk(count, (list) => utils.addJobs(list.map((data) => ({ identifier: QUEUE, payload: data }))));
  await pool.query('analyze');
  let ran = 0;
  let runner;
  let allRan;
  const whenAllRan = new Promise((resolve) => {
    allRan = resolve;
  });
  const task = () => {
    if (++ran === count) allRan();
  };
  try {
    return await timed(async () => {
      runner = await run({
        preset: { worker: { ...GRAPHILE_WORK, logger } },
        pgPool: pool,
        taskList: { [QUEUE]: task },
        parsedCronItems: [],
        noHandleSignals: true,
      });
      const stopped = runner.promise.then(() => {
        throw new Error(`graphile-worker stopped after ${ran} of ${count} jobs`);
      });
      await Promise.race([whenAllRan, stopped]);
      stopped.catch(() => {});
      // a job is done when its row is gone: completions go to the database in batches, after the task
      while ((await pool.query('select from graphile_worker.jobs limit 1')).rowCount > 0) await sleep(1);
    });
  } finally {
    await runner?.stop();
  }
}

const PEERS = { 'pg-boss': pgBoss, 'graphile-worker': graphileWorker };

function versionOf(peer) {
  return JSON.parse(readFileSync(new URL(`node_modules/${peer}/package.json`, import.meta.url), 'utf8')).version;
}

/** A refused connection is an AggregateError without a message of its own. */
function sentence(error) {
  return error?.message || error?.errors?.[0]?.message || String(error);
}

try {
  const options = readOptions();
  const { peer, what, count, callers } = options;
  const seconds = await PEERS[peer](options);
  const line = {
    peer,
    version: versionOf(peer),
    what,
    count,
    callers,
    seconds: Number(seconds.toFixed(3)),
    per_second: Math.round(count / seconds),
  };
  console.log(JSON.stringify(line));
} catch (error) {
  console.error(`run.mjs: ${sentence(error)}`);
  process.exitCode = 1;
}
