// People sign in at a real, certified OpenID Connect provider (npm oidc-provider) in a real browser, and
// out again: TRUST T21, PRODUCT A-4.
//
//   node oidc.mjs PATH_OF_THE_BINARY
//
// Reads CHROMIUM (the browser).
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import {
  axeFinds, broken, browserPath, check, demand, freePort, ready, shutDown, sumUp, tally,
} from './harness.mjs';
import { startProvider } from './provider.mjs';

const LIMIT_MS = 60_000;
// Absolute: the server gets a folder of its own to be in.
const binary = process.argv[2] && path.resolve(process.argv[2]);
if (!binary || !browserPath) {
  console.error('usage: CHROMIUM=/path/of/chromium node oidc.mjs PATH_OF_TENANTPILOT');
  process.exit(2);
}

const folder = mkdtempSync(path.join(tmpdir(), 'tenantpilot-oidc-'));
const port = await freePort();
const base = `http://127.0.0.1:${port}`;
const [clientId, clientSecret] = ['tenantpilot', 'a secret of a test: % & +'];
const provider = await startProvider({
  callback: `${base}/login/oidc/callback`, afterLogout: `${base}/login`, clientId, clientSecret, port: await freePort(),
});
const secretFile = path.join(folder, 'oidc-secret');
writeFileSync(secretFile, `${clientSecret}\n`, { mode: 0o600 });
const environment = {
  ...process.env,
  TENANTPILOT_DATA_DIR: path.join(folder, 'data'),
  TENANTPILOT_LISTEN: `127.0.0.1:${port}`,
  TENANTPILOT_OIDC__ISSUER: provider.issuer,
  TENANTPILOT_OIDC__CLIENT_ID: clientId,
  TENANTPILOT_OIDC__CLIENT_SECRET_FILE: secretFile,
  TENANTPILOT_OIDC__NAME: 'Example ID',
};
const owner = { email: 'owner@example.com', password: 'correct horse battery' };

function command(words, input) {
  return execFileSync(binary, words, { env: environment, input, encoding: 'utf8', cwd: folder, timeout: LIMIT_MS });
}

let log = '';
let server;

async function serve() {
  server = spawn(binary, ['serve'], { env: environment, cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const own = server;
  own.gone = new Promise((resolve) => { own.once('exit', resolve); });
  for (const stream of [own.stdout, own.stderr]) {
    stream.on('data', (data) => { log = (log + data).slice(-20_000); });
  }
  await ready(base, 'server', own, LIMIT_MS);
}

async function stop() {
  if (server) await shutDown(server, server.gone);
}

async function newPage(browser) {
  const context = await browser.newContext({ reducedMotion: 'reduce' });
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  page.complaints = [];
  page.on('console', (message) => {
    const own = message.location().url.startsWith(base) && !message.text().includes('status of 40');
    if (message.type() === 'error' && own) page.complaints.push(message.text());
  });
  return page;
}

async function good(page) {
  const finds = [...await axeFinds(page), ...page.complaints];
  demand(finds.length === 0, `${page.url()}: ${finds.join('\n')}`);
}

// The provider's own pages: who, with any password, then yes to what the app asks for.
async function atProvider(page, person) {
  await page.waitForURL(`${provider.issuer}/**`);
  await page.locator('input[name=login]').fill(person);
  await page.locator('input[name=password]').fill('any');
  await page.locator('button[type=submit]').click();
  await page.locator('input[name=prompt][value=consent]').waitFor({ state: 'attached' });
  await page.locator('button[type=submit]').click();
}

async function signInWithProvider(page, person) {
  await page.goto(`${base}/login?return_to=/operations`);
  await page.getByRole('link', { name: 'Sign in with Example ID' }).click();
  await atProvider(page, person);
  await page.waitForURL(`${base}/**`);
}

async function signOut(page) {
  await page.goto(`${base}/tenants`);
  await page.locator('details.menu summary').last().click();
  await page.getByRole('button', { name: 'Sign out' }).click();
}

// Cookies know no ports: those of the provider, on the same address, are left out.
async function cookies(page) {
  return (await page.context().cookies(base)).filter(({ name }) => name.startsWith('tp'));
}

async function cookieNames(page) {
  return (await cookies(page)).map(({ name }) => name).sort().join(' ');
}

let browser;
try {
  command(['admin', 'bootstrap', '--workspace', 'First', '--email', owner.email, '--password-stdin'], owner.password);
  command(['config', 'check']);
  await serve();
  browser = await chromium.launch({
    executablePath: browserPath, args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  });

  const stranger = await newPage(browser);
  await check('somebody whom nobody here knows is proved and refused', async () => {
    await signInWithProvider(stranger, 'stranger');
    await stranger.getByText('This account cannot sign in here').waitFor();
    await good(stranger);
    demand(await cookieNames(stranger) === 'tp-sign-in', `cookies: ${await cookieNames(stranger)}`);
    await stranger.goto(`${base}/tenants`);
    demand(new URL(stranger.url()).pathname === '/login', 'a refused person is not signed in');
  });
  await check('an answer that is sent again is refused', async () => {
    const seen = [];
    stranger.on('request', (request) => { if (request.url().includes('/callback?')) seen.push(request.url()); });
    await stranger.goto(`${base}/login/oidc`);
    await stranger.getByText('This account cannot sign in here').waitFor();
    demand(seen.length === 1, `the way back: ${seen}`);
    const again = await stranger.goto(seen[0]);
    demand(again.status() === 401, `status ${again.status()}`);
    await stranger.getByText('state_unknown').waitFor();
  });

  const page = await newPage(browser);
  await check('the owner signs in with the password and links the identity', async () => {
    await page.goto(`${base}/login`);
    await good(page);
    await page.getByLabel('E-mail address').fill(owner.email);
    await page.getByLabel('Password').fill(owner.password);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.waitForURL(`${base}/tenants`);
    await page.goto(`${base}/account/sign-ins`);
    await good(page);
    await page.getByRole('button', { name: 'Link Example ID' }).click();
    await good(page);
    await page.getByRole('link', { name: 'Continue to Example ID' }).click();
    await atProvider(page, 'anna');
    await page.getByText('Linked. You can sign in this way from now on.').waitFor();
    await page.getByText('anna@example.com').first().waitFor();
    await good(page);
  });
  await check('signing out of a local session leaves the provider alone', async () => {
    await signOut(page);
    await page.waitForURL(`${base}/login`);
  });
  await check('the owner signs in at the provider, and lands where they wanted', async () => {
    await page.goto(`${base}/login?return_to=/operations`);
    await page.getByRole('link', { name: 'Sign in with Example ID' }).click();
    // Still signed in there: no questions.
    await page.waitForURL(`${base}/operations`);
    demand(await cookieNames(page) === 'tp', `cookies: ${await cookieNames(page)}`);
    await good(page);
  });
  await check('a session is another after each sign-in', async () => {
    const [before] = await cookies(page);
    await page.goto(`${base}/login/oidc?return_to=/tenants`);
    await page.waitForURL(`${base}/tenants`);
    const [after] = await cookies(page);
    demand(before.value !== after.value, 'the cookie is the same');
    const old = await fetch(`${base}/api/v1/me`, { headers: { cookie: `tp=${before.value}` } });
    demand(old.status === 401, `the old session answers ${old.status}`);
    demand(after.httpOnly && after.sameSite === 'Lax', 'the cookie is open');
  });
  await check('signs out here and, if wanted, at the provider', async () => {
    await signOut(page);
    await page.waitForURL(`${base}/login/signed-out`);
    await good(page);
    await page.getByRole('link', { name: 'Sign out of Example ID' }).click();
    await page.waitForURL(`${provider.issuer}/session/end*`);
    await page.locator('button[value=yes], button[name=logout]').first().click();
    await page.waitForURL(`${base}/login**`);
    demand(await cookieNames(page) === '', `cookies: ${await cookieNames(page)}`);
    await page.getByRole('link', { name: 'Sign in with Example ID' }).click();
    await page.waitForURL(`${provider.issuer}/**`);
    await page.locator('input[name=login]').waitFor();
  });

  await stop();
  await check('a rule of the workspace lets in people of this provider as readers', async () => {
    const said = JSON.parse(command(['admin', 'identity', 'rule', '--issuer', provider.issuer, '--role', 'reader']));
    demand(said.role === 'reader' && said.authority === provider.issuer, JSON.stringify(said));
    await serve();
    const reader = await newPage(browser);
    await signInWithProvider(reader, 'carol');
    await reader.waitForURL(`${base}/operations`);
    await reader.locator('details.menu summary', { hasText: 'carol Example' }).waitFor();
    await reader.goto(`${base}/account/sign-ins`);
    await reader.getByRole('button', { name: 'Remove' }).click();
    await reader.getByText('This is your only way to sign in').waitFor();
    await good(reader);
    await reader.context().close();
  });
  await check('nothing secret is in the log', async () => {
    for (const secret of [clientSecret, 'code=', 'state=', 'code_verifier']) {
      demand(!log.includes(secret), `the log has ${secret}`);
    }
  });
  if (tally.failed > 0) console.log(`--- the server said\n${log}`);
} catch (error) {
  broken(error, 'server', log);
} finally {
  await browser?.close();
  await stop();
  await provider.stop();
  rmSync(folder, { recursive: true, force: true });
}
sumUp();
