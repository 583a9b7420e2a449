// Owns a headless Chromium for tests/peers/test_page.py: one command a line in, one answer a line out,
// JSON. It looks at pages as a person would: by text and by role.
// Usage: browser.cjs CHROMIUM
"use strict";
const readline = require("node:readline");
const fs = require("node:fs");
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const pages = new Map();
let browser;

const commands = {
  // A page in a context of its own; `seen` keeps what it said, asked for and loaded.
  async open({ url, dark, phone, script = true }) {
    const context = await browser.newContext({
      colorScheme: dark ? "dark" : "light",
      javaScriptEnabled: script,
      viewport: phone ? { width: 390, height: 800 } : { width: 1360, height: 900 },
    });
    const page = await context.newPage();
    const seen = { errors: [], requests: [], loads: 0, dialogs: 0 };
    page.on("console", (said) => ["error", "warning"].includes(said.type()) && seen.errors.push(said.text()));
    page.on("pageerror", (error) => seen.errors.push(error.message));
    page.on("dialog", (dialog) => { seen.dialogs += 1; dialog.dismiss(); });
    page.on("request", (request) => seen.requests.push(request.url()));
    page.on("load", () => { seen.loads += 1; });
    const id = pages.size;
    pages.set(id, { page, context, seen });
    const began = performance.now();
    const answer = await page.goto(url, { waitUntil: "load", timeout: 15000 });
    return { page: id, status: answer.status(), ms: performance.now() - began };
  },
  // What a screen reader is given, as roles and names.
  roles: ({ page, at = "body" }) => pages.get(page).page.locator(at).ariaSnapshot({ timeout: 5000 }),
  text: ({ page, at = "body" }) => pages.get(page).page.locator(at).innerText({ timeout: 5000 }),
  title: ({ page }) => pages.get(page).page.title(),
  seen: ({ page }) => pages.get(page).seen,
  count: ({ page, at }) => pages.get(page).page.locator(at).count(),
  press: ({ page, key }) => pages.get(page).page.keyboard.press(key),
  focus: ({ page, at }) => pages.get(page).page.locator(at).first().focus(),
  evaluate: ({ page, script }) => pages.get(page).page.evaluate(script),
  // Milliseconds until the text is there.
  async wait({ page, at = "body", text, ms }) {
    const began = performance.now();
    await pages.get(page).page.locator(at, { hasText: new RegExp(text) }).first()
      .waitFor({ state: "attached", timeout: ms });
    return performance.now() - began;
  },
  // What axe-core finds, each with the elements.
  async axe({ page }) {
    await pages.get(page).page.evaluate(axe);
    const found = await pages.get(page).page.evaluate("axe.run()");
    return found.violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).slice(0, 3)}`);
  },
  screenshot: ({ page, path }) => pages.get(page).page.screenshot({ path, fullPage: true }).then(() => path),
  close: ({ page }) => pages.get(page).context.close(),
};

const run = async () => {
  browser = await chromium.launch({
    executablePath: process.argv[2],
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
  });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { operation, input } = JSON.parse(line);
    let answer;
    try {
      answer = { output: (await commands[operation](input)) ?? null };
    } catch (error) {
      answer = { error: String(error.message) };
    }
    console.log(JSON.stringify(answer));
  }
  await browser.close();
};

run();
