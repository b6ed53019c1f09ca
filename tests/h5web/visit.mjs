// Opens an address in headless Chromium and prints as JSON what a visitor meets.
//
//     node visit.mjs ADDRESS PICTURE.png [TEXT_TO_CLICK ...]
//
// It waits for a plot (a canvas), clicks on the texts in turn, takes the picture, and prints {text, errors}: what the
// page says, and what went wrong in it or was asked of other hosts.
import { chromium } from 'playwright-core';

const [address, picture, ...clicks] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
    '--disable-sync', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', // WebGL without a graphics card
  ],
});
const errors = [];
try {
  const page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
  page.on('pageerror', (error) => errors.push(`error: ${error.message}`));
  page.on('request', (request) => {
    const { hostname, protocol } = new URL(request.url());
    if (protocol.startsWith('http') && hostname !== '127.0.0.1') errors.push(`request: ${request.url()}`);
  });
  await page.goto(address);
  await page.waitForSelector('canvas', { timeout: 120_000 });
  for (const text of clicks) {
    await page.getByText(text, { exact: true }).first().click();
    await page.waitForSelector('canvas', { timeout: 60_000 });
  }
  await page.waitForTimeout(2000); // the canvas is there before its pixels are
  await page.screenshot({ path: picture });
  const text = await page.locator('body').innerText();
  const labels = await page.locator('svg text').allTextContents();
  console.log(JSON.stringify({ text, labels, errors }));
} finally {
  await browser.close();
}
