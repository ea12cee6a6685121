// clients/js in a page in Chromium.
import { chromium } from "playwright-core";
import { drive, tell } from "./lines.mjs";

drive(async (where) => {
  const patience = { timeout: 120_000 };
  const browser = await chromium.launch({
    ...patience, executablePath: where.chromium,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
      "--disable-sync", "--ignore-certificate-errors-spki-list=" + where.pin], // trusts this one key, no other
  });
  const page = await browser.newPage();
  page.on("pageerror", (e) => tell("page error", { text: e.message }));
  await page.exposeFunction("tell", tell);
  await page.goto(where.page, patience);
  await page.evaluate(async (where) => {
    const { feedOrders } = await import(where.orders);
    globalThis.orders = feedOrders(where, globalThis.tell);
  }, where);
  const does = (name) => (o) => page.evaluate(([name, o]) => { globalThis.orders[name](o); }, [name, o]);
  return Object.fromEntries(["open", "give token", "positions", "close"].map((name) => [name, does(name)]));
});
