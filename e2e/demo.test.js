// The demo page in headless Chromium, against `belfry demo`.

import assert from "node:assert/strict";
import { mkdtemp } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";

import { DemoPage, launch, watch } from "./browser.js";
import { Gateway, build } from "./gateway.js";
import { until } from "./wait.js";

const done = ["done", "done", "done", "done", "done", "done"];

describe("the demo page", { timeout: 240000 }, () => {
  let built, gateway, browser, context, demo;

  before(async () => {
    built = await build();
    gateway = new Gateway(built);
    await gateway.start();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await gateway?.end();
    await built?.clean();
  });

  beforeEach(async () => {
    context = await browser.newContext();
    demo = await DemoPage.open(context, gateway);
  });
  afterEach(async () => {
    await context.close();
    assert.deepEqual(demo.said, [], "the browser's console has something to say");
  });

  it("shows a publication to its user, on both tabs, and to nobody else", async () => {
    const other = await DemoPage.open(context, gateway);
    await demo.page.bringToFront();
    await demo.connect("1");
    await demo.connect("2");
    await other.connect("1");

    for (const kind of ["durable", "legacy"]) {
      const text = `order by ${kind} subject`;
      await demo.publish("1", text, kind);
      const receipt = await demo.outcome("done");
      assert.match(receipt, kind === "durable" ? /notification\.1\b.*BELFRY_NOTIFICATIONS, sequence \d+/ : /notification_1\b/);
      await demo.received("1", text);
      await other.received("1", text);
      assert.deepEqual(await demo.steps("1"), done);

      // What is published later, in the same way, arrives later: had the first
      // one come to user 2, it would be there by now.
      const later = `then ${kind} for user 2`;
      await demo.publish("2", later, kind);
      await demo.received("2", later);
      assert.ok(!(await demo.texts("2")).includes(text), "user 2 received what was for user 1");
      assert.ok(!(await demo.texts("1")).includes(later), "user 1 received what was for user 2");
    }
    assert.deepEqual(other.said, []);
  });

  it("delivers once after a user has come back", async () => {
    await demo.connect("1");
    await demo.publish("1", "before");
    await demo.received("1", "before");

    await demo.leave("1");
    await demo.publish("1", "while away");
    assert.match(await demo.outcome("done"), /User 1 is not connected on this page, and gets it on coming back/);
    await demo.publish("1", "while away, and live only", "legacy");
    assert.match(await demo.outcome("done"), /User 1 is not connected on this page, so it is not shown here/);

    await demo.connect("1");
    await demo.received("1", "while away");
    assert.ok(!(await demo.texts("1")).includes("while away, and live only"));
    await demo.publish("1", "after");
    await demo.received("1", "after");
    await demo.publish("1", "and the last");
    await demo.received("1", "and the last");
  });

  it("shows the six steps, with times, as they happen", async () => {
    assert.deepEqual(await demo.steps("1"), ["", "", "", "", "", ""]);
    await demo.connect("1");
    await demo.publish("1", "hello");
    await demo.received("1", "hello");
    await until("step 5", async () => (await demo.steps("1"))[4] === "done");
    for (const step of ["sent", "authenticated", "subscribed", "published", "received"]) {
      assert.match(await demo.card("1").locator(`[data-step=${step}] .when`).textContent(), /^\d\d:\d\d:\d\d\.\d{3}$/, step);
    }
    assert.match(await demo.card("1").locator("[data-step=asked] .when").textContent(), /^in [\d.]+ ms$/);
    assert.match(await demo.card("1").locator("[data-step=received] .note").textContent(), /^after [\d.]+ ms$/);

    await gateway.publish("1", '{"user_id":"1","data":"from a terminal"}');
    await demo.received("1", "from a terminal");
    assert.equal(await demo.card("1").locator("[data-step=published] .note").textContent(), "elsewhere");
    await demo.button("Disconnect user 1").click();
    assert.deepEqual(await demo.steps("1"), ["", "", "", "", "", ""]);
  });

  it("shows text as text", async () => {
    await demo.connect("2");
    const hostile = `<img src=x onerror="document.title='taken'"><script>document.title='taken'</script>`;
    await demo.publish("2", hostile);
    await demo.received("2", hostile);
    assert.equal(await demo.page.title(), "Belfry demo");
    assert.equal(await demo.page.locator(".list img, .list script").count(), 0);
  });

  it("survives a payload that is not UTF-8, which comes as a binary frame", async () => {
    await demo.connect("1");
    await gateway.publish("1", Buffer.from([0x7b, 0xff, 0xfe, 0x00, 0x7d]));
    await demo.received("1", "7b ff fe 00 7d");
    assert.match(await demo.card("1").locator(".list li").first().textContent(), /binary frame, 5 bytes/);
    for (const payload of ["not JSON", "null", "[1]", '{"data":7}', '{"success":false}']) {
      await gateway.publish("1", payload);
      await demo.received("1", payload);
    }
    await demo.publish("1", "still here");
    await demo.received("1", "still here");
  });

  it("says that the backend refused a token", async () => {
    await demo.page.route("**/demo/app.js", async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, body: (await response.text()).replace("57uiWCKp", "AAAAAAAA") });
    });
    await demo.page.reload();
    await demo.button("Connect user 1").click();
    await demo.problem("1", /backend refused the token/);
    assert.deepEqual(await demo.steps("1"), ["done", "done", "failed", "", "", ""]);

    await demo.speak("1", "eventsource");
    await demo.button("Connect user 1").click();
    await demo.problem("1", /backend refused the token/);
    assert.deepEqual(await demo.steps("1"), ["done", "done", "failed", "", "", ""]);
    await demo.connect("2");
    const other = demo.said.splice(0).filter((line) => !/status of 401/.test(line));
    assert.deepEqual(other, [], "the console says more than that a token was refused");
  });

  // withOwn gives a test a gateway that it may break, and a page on it.
  async function withOwn(test) {
    const own = new Gateway(built);
    try {
      await own.start();
      await test(own, await DemoPage.open(context, own));
    } finally {
      await own.end("SIGKILL");
    }
  }

  it("says that the gateway is gone, and connects again when it is back", () =>
    withOwn(async (own, page) => {
      await page.connect("1");
      await page.ends("1");
      await own.end("SIGKILL");
      await page.problem("1", /connection to the gateway was lost/);

      await page.button("Connect user 1").click();
      await page.problem("1", /gateway can't be reached/);
      await page.publish("1", "into the void");
      assert.match(await page.outcome("failed"), /can't be reached/);
      assert.ok(!(await page.texts("1")).includes("into the void"));

      await own.start();
      await page.connect("1");
      await page.publish("1", "back");
      await page.received("1", "back");
      assert.ok(await page.card("1").locator(".problem").isHidden());
      const other = page.said.filter((line) => !/ERR_CONNECTION_(REFUSED|RESET)/.test(line));
      assert.deepEqual(other, [], "the console says more than that nobody answered");
    }));

  it("says that the gateway is restarting when it was told to stop", () =>
    withOwn(async (own, page) => {
      await page.connect("1");
      const ended = own.end("SIGTERM");
      await page.problem("1", /gateway is stopping or restarting/);
      assert.equal(await ended, 0);
      assert.deepEqual(page.said, []);
    }));

  it("has the browser connect again by EventSource when the gateway was told to stop", () =>
    withOwn(async (own, page) => {
      await page.speak("1", "eventsource");
      await page.connect("1");
      assert.equal(await own.end("SIGTERM"), 0);
      await page.state("1", "busy");
      await page.problem("1", /The browser connects again/);
      await own.start();
      await page.state("1", "on");
      assert.ok(await page.card("1").locator(".problem").isHidden());
      await page.publish("1", "back by itself");
      await page.received("1", "back by itself");
      const other = page.said.filter((line) => !/ERR_CONNECTION_(REFUSED|RESET)/.test(line));
      assert.deepEqual(other, [], "the console says more than that nobody answered");
    }));

  it("lets no other page publish", async () => {
    await demo.connect("1");
    const elsewhere = createServer((_, response) => response.setHeader("Content-Type", "text/html").end("<title>elsewhere</title>"));
    await new Promise((listening) => elsewhere.listen(0, "127.0.0.1", listening));
    try {
      const page = await context.newPage();
      const said = watch(page);
      await page.goto(`http://127.0.0.1:${elsewhere.address().port}/`);
      const tries = await page.evaluate(async (url) => {
        const body = JSON.stringify({ user: "1", data: "from elsewhere" });
        const attempt = (options) => fetch(url, { method: "POST", body, ...options }).then((r) => r.type, () => "blocked");
        return [
          await attempt({ headers: { "Content-Type": "application/json" } }),
          await attempt({ mode: "no-cors" }),
        ];
      }, new URL("demo/publish", gateway.url).href);
      assert.deepEqual(tries, ["blocked", "opaque"]);
      assert.ok(said.length > 0, "the browser should have said that it blocked one");
    } finally {
      await new Promise((closed) => elsewhere.close(closed).closeAllConnections());
    }
    await demo.publish("1", "from the page itself");
    await demo.received("1", "from the page itself");
    assert.ok(!(await demo.texts("1")).includes("from elsewhere"));
  });

  it("works by keyboard and fits a phone, light and dark", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "belfry-screenshots-"));
    t.diagnostic(`screenshots in ${folder}`);
    let order = 1000; // each is another: the last one of the page before may come again
    for (const colorScheme of ["light", "dark"]) {
      for (const [name, viewport] of [["phone", { width: 390, height: 844 }], ["desktop", { width: 1280, height: 900 }]]) {
        const own = await browser.newContext({ viewport, colorScheme, reducedMotion: "reduce" });
        const page = await DemoPage.open(own, gateway);
        await page.button("Connect user 1").focus();
        await page.page.keyboard.press("Enter");
        await page.state("1", "on");
        await page.speak("2", "eventsource");
        await page.connect("2");
        await page.button("Away and back, user 2").click();
        await page.card("2").locator(".tale[data-state=done]").waitFor();
        await page.page.getByLabel("Text").fill(`Order ${++order} has arrived`);
        await page.page.getByLabel("Text").focus();
        await page.page.keyboard.press("Enter");
        await page.outcome("done");
        await page.received("1", `Order ${order} has arrived`);
        const width = await page.page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(width <= viewport.width, `${name}: the page is ${width} px wide on ${viewport.width} px`);
        await page.page.screenshot({ path: join(folder, `${name}-${colorScheme}.png`), fullPage: true });
        await own.close();
        assert.deepEqual(page.said, []);
      }
    }
  });
});
