// The first five minutes in a real browser: sign in, press "Sync now", follow the run to its end,
// see the bell; then a backup, and what differs after a change. Every page on the way is checked by axe, in light and in dark.
//
//   node run.mjs PATH_OF_THE_BINARY
//
// Reads CHROMIUM (the browser), TENANTPILOT_TEST_CORPUS (optional: a folder of policies) and
// TENANTPILOT_TEST_DOUBLE_CLICKS (how many, an even number; 6 if it is not set).
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import {
  axeFinds, broken, browserPath, check, demand, freePort, ready, shutDown, sumUp, tally,
} from './harness.mjs';

const LIMIT_MS = 120_000;
const BROWSER_FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

const binary = process.argv[2];
if (!binary || !browserPath) {
  console.error('usage: CHROMIUM=/path/of/chromium node run.mjs PATH_OF_TENANTPILOT');
  process.exit(2);
}

// "operator  name@example.test  password": one line per person.
function signInOf(role, dataDir) {
  const text = execFileSync(binary, ['demo', '--data-dir', dataDir, '--print-login'], {
    encoding: 'utf8',
    timeout: LIMIT_MS,
  });
  const line = text.split('\n').find((each) => each.trim().startsWith(role));
  const [, email, password] = line?.trim().split(/\s+/) ?? [];
  demand(email?.includes('@') && password, `no sign-in of the ${role} in --print-login`);
  return { email, password };
}

async function signIn(page, base, login) {
  await page.goto(`${base}/login`);
  await page.getByLabel('E-mail address').fill(login.email);
  await page.getByLabel('Password').fill(login.password);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.waitForURL((url) => !url.pathname.startsWith('/login'));
}

async function newPage(browser, base, complaints, options) {
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(`script: ${error.message}`));
  page.on('console', (message) => {
    // A page that is looked for and not there is one of the pages under test.
    const expected = message.text().includes('404');
    if (message.type() === 'error' && !expected) complaints.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    const own = request.url().startsWith(base) || request.url().startsWith('data:');
    if (!own) complaints.push(`asked elsewhere: ${request.url()}`);
  });
  return page;
}

async function story(page, base, login) {
  const seen = {};
  await check('signs in', () => signIn(page, base, login));
  await check('opens the first tenant', async () => {
    await page.goto(`${base}/tenants`);
    await page.getByRole('main').locator('a[href^="/t/"]').first().click();
    await page.waitForURL(/\/t\/[^/]+/);
    seen.tenant = new URL(page.url()).pathname.split('/').slice(0, 3).join('/');
  });
  await check('presses "Sync now" and gets a banner with "View run"', async () => {
    await page.getByRole('button', { name: 'Sync now' }).first().click();
    const banner = page.getByRole('status').filter({ hasText: /sync (queued|is |succeeded)/i });
    await banner.getByRole('link', { name: 'View run' }).click();
    await page.waitForURL(/\/operations\/[^/]+$/);
    seen.run = new URL(page.url()).pathname;
  });
  await check('sees the run succeed without a reload', async () => {
    const main = page.getByRole('main');
    // The run's own chip: a tile of the counts has the same word.
    await main.locator('.actions .chip', { hasText: /^Succeeded$/ }).waitFor({ timeout: LIMIT_MS });
  });
  await check('finds the end of the run in the bell', async () => {
    await page.goto(`${base}/notifications`);
    const link = page.getByRole('main').locator(`a[href="${seen.run}"]`);
    demand(await link.count() >= 2, 'the queued and the terminal notification are not both there');
  });
  await check('opens a policy', async () => {
    await page.goto(`${base}${seen.tenant}/policies`);
    await page.getByRole('main').locator(`a[href^="${seen.tenant}/policies/"]`).first().click();
    await page.waitForURL(/\/policies\/[^/]+/);
    seen.policy = new URL(page.url()).pathname;
  });
  return seen;
}

// Double-clicks on a start button (TRUST A2): each pair, at most 50 ms apart, is one run. Half of them
// without script, where nothing in the page can hold the second click back.
async function doubleClicks(browser, base, login, tenant, pairs) {
  const api = `${base}/api/v1/tenants/${tenant.split('/').pop()}/runs`;
  const watch = await newPage(browser, base, []);
  await signIn(watch, base, login);
  const runs = async (query) => {
    const reply = await watch.request.get(`${api}?kind=inventory.sync&limit=100&${query}`);
    demand(reply.ok(), `the list of runs answered ${reply.status()}`);
    return (await reply.json()).data;
  };
  const idle = async () => {
    const end = Date.now() + LIMIT_MS;
    while (Date.now() < end) {
      const active = [...await runs('status=queued'), ...await runs('status=running')];
      if (active.length === 0) return;
    }
    throw new Error('a sync does not end');
  };
  let [posts, slow] = [0, 0];
  for (const javaScriptEnabled of [true, false]) {
    const page = await newPage(browser, base, [], { javaScriptEnabled });
    await signIn(page, base, login);
    page.on('request', (request) => { posts += Number(request.method() === 'POST'); });
    for (let pair = 0; pair < pairs / 2;) {
      await idle();
      const [before] = await runs('');
      await page.goto(`${base}${tenant}/overview`);
      const button = page.getByRole('button', { name: 'Sync now' }).first();
      const box = await button.boundingBox();
      const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
      const clicked = performance.now();
      // Both are on their way before the first is answered.
      await Promise.all([page.mouse.click(x, y), page.mouse.click(x, y, { clickCount: 2 })]);
      const isQuick = performance.now() - clicked <= 50;
      await page.getByRole('link', { name: 'View run' }).first().waitFor();
      await idle();
      const after = await runs('');
      const place = after.findIndex((run) => run.id === before.id);
      demand(place === 1, `pair ${pair}, ${javaScriptEnabled ? 'with' : 'without'} script: ${place} runs`);
      // A machine that is busy may be late with the second click: one run all the same, but not counted.
      if (isQuick) pair += 1;
      else slow += 1;
      demand(slow < 20 + pairs, 'this machine is too slow for a double-click');
    }
    await page.context().close();
  }
  await watch.context().close();
  // How many second clicks the browser sends is its own affair; of a hundred pairs it sends some.
  demand(posts >= pairs, 'not every first click was sent');
  console.log(`      ${pairs} double-clicks of at most 50 ms, ${slow} slower ones; ${posts} requests, ${pairs + slow} runs`);
}

// The connection of a tenant: consent at the (simulated) login host and back, a check, a key pair. Without
// script all the way: nothing of it may need any.
async function connection(browser, base, login, tenant) {
  const page = await newPage(browser, base, [], { javaScriptEnabled: false });
  await signIn(page, base, login);
  const here = `${base}${tenant}/settings/connection`;
  const main = page.getByRole('main');
  await check('consents at the login host and comes back to a check', async () => {
    await page.goto(here);
    await page.getByRole('button', { name: 'Consent now' }).click();
    await page.getByRole('link', { name: 'Continue to Microsoft' }).click();
    await page.waitForURL(/settings\/connection\?consent=given&started=/);
    await main.getByText('Microsoft says that consent was given').waitFor();
  });
  await check('sees what the check found', async () => {
    const end = Date.now() + LIMIT_MS;
    while (await main.locator('.chip', { hasText: 'Signed in' }).count() === 0) {
      demand(Date.now() < end, 'the check found nothing');
      await page.goto(here);
    }
    demand(await main.locator('.chip', { hasText: 'Read only' }).count() === 1, 'it is not said to be read only');
    await page.goto(`${base}${tenant}/policy-types`);
    demand(await main.locator('.chip', { hasText: 'Works' }).count() > 0, 'no policy type is said to work');
  });
  await check('makes a key pair and downloads its certificate', async () => {
    await page.goto(here);
    await main.getByText('New key pair, made here').click();
    await page.getByRole('button', { name: 'Make a key pair' }).click();
    await main.getByText('A new key pair waits.').waitFor();
    const link = main.getByRole('link', { name: 'Download certificate' }).first();
    const file = await page.request.get(`${base}${await link.getAttribute('href')}`);
    const text = await file.text();
    demand(text.startsWith('-----BEGIN CERTIFICATE-----') && !text.includes('PRIVATE'), text.slice(0, 40));
  });
  await page.context().close();
}

// A backup, a change behind our back, a backup of that policy alone, and what differs.
async function backups(page, base, seen, sim) {
  const main = page.getByRole('main');
  const ended = async () => {
    await page.getByRole('status').filter({ hasText: /^Backup/ }).getByRole('link', { name: 'View run' }).click();
    await page.waitForURL(/\/operations\/[^/]+$/);
    await main.locator('.actions .chip', { hasText: /^Succeeded$/ }).waitFor({ timeout: LIMIT_MS });
  };
  await check('presses "Back up now" and sees the run succeed', async () => {
    await page.goto(`${base}${seen.tenant}/backups`);
    await page.getByLabel('Note (optional)').fill('Before <b>the</b> change');
    await page.getByRole('button', { name: 'Back up now' }).click();
    await ended();
  });
  await check('opens the set, and a policy of it as people read it', async () => {
    await page.goto(`${base}${seen.tenant}/backups`);
    await main.getByText('Before <b>the</b> change').waitFor();
    await main.getByRole('link', { name: 'Backup 1', exact: true }).click();
    await main.locator('.head .chip', { hasText: 'Complete' }).waitFor();
    seen.set = new URL(page.url()).pathname;
    await page.goto(`${base}${seen.set}?type=deviceConfiguration`);
    await main.locator(`a[href^="${seen.tenant}/versions/"]`).first().click();
    await page.waitForURL(/\/versions\/[^/]+$/);
    seen.version = new URL(page.url()).pathname;
    demand(await main.locator('table.settings tr').count() > 0, 'the version shows no setting');
  });
  await check('backs a changed policy up and sees what changed', async () => {
    const answer = await page.request.get(`${base}/api/v1/tenants${seen.tenant.slice(2)}/versions/${seen.version.split('/').pop()}`);
    const version = await answer.json();
    const { tenants } = await (await fetch(`${sim}/__sim/tenants`)).json();
    const changed = await fetch(`${sim}/__sim/objects`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        tenant: tenants[0].id, type: version.type, action: 'change', id: version.graph_id,
        patch: { description: 'changed behind our back', lastModifiedDateTime: '2031-01-17T14:01:02.1234567Z' },
      }),
    });
    demand(changed.ok, `the simulator answered ${changed.status}`);
    await page.getByRole('navigation', { name: 'Breadcrumb' }).locator(`a[href^="${seen.tenant}/policies/"]`).first().click();
    await page.waitForURL(/\/policies\/[^/]+$/);
    seen.captured = new URL(page.url()).pathname;
    await page.getByRole('button', { name: 'Back up this policy' }).click();
    await ended();
    await page.goto(`${base}${seen.captured}/versions`);
    await page.getByRole('button', { name: 'Compare the two' }).click();
    await page.waitForURL(/\/compare\?/);
    await main.getByText('changed behind our back').first().waitFor();
    seen.compare = page.url().slice(base.length);
  });
}

async function everyPage(browser, base, login, seen, complaints) {
  const pages = [
    '/tenants', `${seen.tenant}/overview`, `${seen.tenant}/policies`, seen.policy, `${seen.tenant}/operations`,
    `${seen.tenant}/settings/connection`, `${seen.tenant}/policy-types`, seen.run, '/notifications', '/operations', '/docs/reason-codes/graph_throttled', '/no-such-page',
    `${seen.tenant}/backups`, seen.set, seen.version, seen.captured, `${seen.captured}/versions`, seen.compare, `${seen.tenant}/coverage`,
  ];
  for (const colorScheme of ['light', 'dark']) {
    for (const [view, width] of [['desktop', 1280], ['mobile', 390]]) {
      const options = { colorScheme, viewport: { width, height: 900 } };
      const page = await newPage(browser, base, complaints, options);
      await page.goto(`${base}/login`);
      const audit = (where) => check(`axe: ${where}, ${colorScheme}, ${view}`, async () => {
        const finds = await axeFinds(page);
        demand(finds.length === 0, finds.join('\n'));
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        demand(wide <= 0, `the page is ${wide} px wider than the window`);
      });
      await audit('/login');
      await signIn(page, base, login);
      for (const where of pages.filter(Boolean)) {
        await page.goto(`${base}${where}`);
        await audit(where);
      }
      await page.context().close();
    }
  }
}

const dataDir = mkdtempSync(path.join(tmpdir(), 'tenantpilot-browser-'));
const base = `http://127.0.0.1:${await freePort()}`;
const corpus = process.env.TENANTPILOT_TEST_CORPUS;
const demo = spawn(
  binary,
  ['demo', '--listen', base.slice('http://'.length), '--data-dir', dataDir,
    ...(corpus ? ['--corpus', corpus] : [])],
  { stdio: ['ignore', 'pipe', 'pipe'] },
);
let log = '';
for (const stream of [demo.stdout, demo.stderr]) {
  stream.on('data', (data) => { log = (log + data).slice(-20_000); });
}
const ended = new Promise((resolve) => { demo.once('exit', resolve); });
let browser;
try {
  await ready(base, 'demo', demo, LIMIT_MS);
  const login = signInOf('operator', dataDir);
  browser = await chromium.launch({ executablePath: browserPath, args: BROWSER_FLAGS });
  const complaints = [];
  const page = await newPage(browser, base, complaints, { viewport: { width: 1280, height: 900 } });
  const seen = await story(page, base, login);
  if (tally.failed === 0) {
    const pairs = Number(process.env.TENANTPILOT_TEST_DOUBLE_CLICKS ?? 6);
    await check('makes one run of a double-click', () => doubleClicks(browser, base, login, seen.tenant, pairs));
  }
  if (tally.failed === 0) await backups(page, base, seen, log.match(/Simulated Microsoft Graph: (\S+)/)?.[1]);
  if (tally.failed === 0) await connection(browser, base, signInOf('owner', dataDir), seen.tenant);
  if (tally.failed > 0) {
    const shot = path.join(tmpdir(), 'tenantpilot-browser-failure.png');
    writeFileSync(shot, await page.screenshot({ fullPage: true }));
    console.log(`the page as it was: ${shot}`);
  } else {
    await everyPage(browser, base, login, seen, complaints);
  }
  await check('no page complains, and none asks elsewhere', async () => {
    demand(complaints.length === 0, [...new Set(complaints)].join('\n'));
  });
} catch (error) {
  broken(error, 'demo', log);
} finally {
  await browser?.close();
  await shutDown(demo, ended);
  rmSync(dataDir, { recursive: true, force: true });
}
sumUp();
