// What the browser tests share: one line per check, free ports, Chromium, axe.
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import axe from 'axe-core';

export const browserPath = process.env.CHROMIUM
  ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

export const tally = { passed: 0, failed: 0 };

export async function check(name, work) {
  try {
    await work();
    tally.passed += 1;
    console.log(`ok    ${name}`);
  } catch (error) {
    tally.failed += 1;
    console.log(`FAIL  ${name}\n      ${String(error.message ?? error).replaceAll('\n', '\n      ')}`);
  }
}

// Something outside of all checks went wrong.
export function broken(error, who, log) {
  tally.failed += 1;
  console.log(`FAIL  ${error.stack}\n--- the ${who} said\n${log}`);
}

// The last line, and how the process ends.
export function sumUp() {
  console.log(`${tally.passed} passed, ${tally.failed} failed`);
  process.exitCode = tally.failed === 0 ? 0 : 1;
}

export function demand(truth, text) {
  if (!truth) throw new Error(text);
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

export async function ready(base, who, server, limitMs) {
  const end = Date.now() + limitMs;
  while (Date.now() < end) {
    demand(server.exitCode === null, `the ${who} ended with exit code ${server.exitCode}`);
    if (await fetch(`${base}/readyz`).then((reply) => reply.ok, () => false)) return;
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  throw new Error(`the ${who} did not become ready`);
}

// Ends a process that this test has started; one that does not end by itself is killed.
export async function shutDown(server, gone) {
  server.kill('SIGTERM');
  const stubborn = setTimeout(() => server.kill('SIGKILL'), 15_000);
  await gone;
  clearTimeout(stubborn);
}

export async function axeFinds(page) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes[0].target} (${nodes.length})`);
}
