// Headless Chromium, and the demo page in it.

import assert from "node:assert/strict";
import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";

import { chromium } from "playwright-core";

import { until } from "./wait.js";

const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export async function launch() {
  return chromium.launch({ executablePath: await find("chromium", "chromium-browser"), args: flags });
}

async function find(...names) {
  for (const name of names) {
    for (const folder of (process.env.PATH ?? "").split(delimiter)) {
      const path = join(folder, name);
      if (await access(path, constants.X_OK).then(() => true, () => false)) return path;
    }
  }
  throw new Error("Chromium is missing: on Debian, apt-get install chromium");
}

// watch collects what a page says on its console as a warning or an error, and
// each exception that nothing caught.
export function watch(page) {
  const said = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) said.push(message.text());
  });
  page.on("pageerror", (err) => said.push(String(err)));
  return said;
}

// A DemoPage is one tab with the demo in it.
export class DemoPage {
  constructor(page, gateway) {
    this.page = page;
    this.gateway = gateway;
    this.said = watch(page);
    this.before = new Map(); // by user, what had arrived before the user left
    page.setDefaultTimeout(15000);
  }

  static async open(context, gateway) {
    const demo = new DemoPage(await context.newPage(), gateway);
    await demo.page.goto(gateway.url);
    return demo;
  }

  card(user) {
    return this.page.getByRole("region", { name: `User ${user}`, exact: true });
  }

  button(name) {
    return this.page.getByRole("button", { name, exact: true });
  }

  async state(user, state) {
    await this.page.locator(`[data-user="${user}"][data-state="${state}"]`).waitFor();
  }

  // speak chooses a user's dialect, which a page that was opened anew does not
  // remember.
  async speak(user, dialect) {
    await this.card(user).locator(`[type=radio][value="${dialect}"]`).check();
  }

  // connect presses the button and returns once something published has
  // arrived: NOTIFICATION is not answered, so only that shows that it works.
  async connect(user) {
    await this.button(`Connect user ${user}`).click();
    await this.state(user, "on");
    const name = `${user} is there ${crypto.randomUUID()}`;
    for (let i = 1; ; i++) {
      await this.gateway.ask({ user, data: `${name} ${i}` });
      const heard = until("it", async () => (await this.texts(user)).some((text) => text.startsWith(name)), 1000);
      if (await heard.then(() => true, () => false)) return;
      assert.ok(i < 15, `user ${user} is connected and hears nothing`);
    }
  }

  async publish(user, text, kind = "durable") {
    const subject = { durable: `notification.${user}`, legacy: `notification_${user}` }[kind];
    for (const name of [`User ${user}`, subject]) await this.page.getByRole("radio", { name, exact: true }).check();
    await this.page.getByLabel("Text").fill(text);
    await this.button("Publish").click();
  }

  outcome(state) {
    return this.page.locator(`#outcome[data-state="${state}"]`).textContent();
  }

  // ends notes what a user has as a connection ends. By messagechannel the last
  // of it may come again, if the gateway did not know yet that it had arrived.
  async ends(user) {
    this.before.set(user, new Set(await this.texts(user)));
  }

  async leave(user) {
    await this.ends(user);
    await this.button(`Disconnect user ${user}`).click();
    await this.state(user, "off");
  }

  // texts is what a user has received, the newest first.
  texts(user) {
    return this.card(user).locator(".list .data").allTextContents();
  }

  // positions are those of the user's list, the newest first.
  positions(user) {
    return this.card(user).locator(".list .facts code").allTextContents();
  }

  // received waits for a text and sees to it that nothing came twice.
  async received(user, text) {
    await until(`user ${user} to receive ${text}`, async () => (await this.texts(user)).includes(text));
    const texts = await this.texts(user);
    const twice = texts.filter((one, i) => texts.indexOf(one) !== i && !this.before.get(user)?.has(one));
    assert.deepEqual(twice, [], "something arrived twice");
  }

  // receivedOf waits for texts, and for one that was published behind them, and
  // sees to it that they came in order, once. Others are not looked at.
  async receivedOf(user, texts, last) {
    await this.received(user, last);
    const got = (await this.texts(user)).reverse().filter((text) => texts.includes(text));
    assert.deepEqual(got, texts, `what user ${user} received of them`);
  }

  async problem(user, pattern) {
    const line = this.card(user).getByRole("alert");
    await line.waitFor();
    assert.match(await line.textContent(), pattern);
  }

  // steps is the state of each of the six, in order.
  steps(user) {
    return this.card(user).locator("[data-step]").evaluateAll((all) => all.map((step) => step.dataset.state ?? ""));
  }
}
