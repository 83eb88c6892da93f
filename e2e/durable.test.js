// The promise, in headless Chromium and in both dialects: what is published
// while nobody is there arrives when somebody is back, in order, once. Also
// where the gateway was killed meanwhile.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";

import { DemoPage, launch } from "./browser.js";
import { Gateway, build } from "./gateway.js";
import { until } from "./wait.js";

const dialects = ["messagechannel", "eventsource"];
const position = /^n-[a-z0-9.]+-[a-z0-9]+$/;

// three are texts that are like no others.
function three(what) {
  const name = `${what} ${crypto.randomUUID()}`;
  return ["first", "second", "third"].map((nth) => `${name}, the ${nth}`);
}

describe("what is published while a user is away", { timeout: 300000 }, () => {
  let built, gateway, browser, context;

  before(async () => {
    built = await build();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await built?.clean();
  });
  beforeEach(async () => {
    gateway = new Gateway(built);
    await gateway.start();
    context = await browser.newContext();
  });
  afterEach(async () => {
    await context.close();
    await gateway.end("SIGKILL");
  });

  async function publish(user, texts) {
    for (const data of texts) await gateway.ask({ user, data });
  }

  // arrived opens a page anew: what it gets is what the gateway knows to be
  // missing. Something published last shows that nothing more is to come.
  async function arrived(user, dialect, texts) {
    const demo = await DemoPage.open(context, gateway);
    await demo.speak(user, dialect);
    await demo.button(`Connect user ${user}`).click();
    await until("the third", async () => (await demo.texts(user)).includes(texts.at(-1)));
    const last = `and then ${crypto.randomUUID()}`;
    await publish(user, [last]);
    await demo.receivedOf(user, texts, last);
    assert.equal(await demo.card(user).locator(".list .again").count(), 0, "something arrived twice on one page");
    assert.deepEqual(demo.said, []);
    return demo;
  }

  for (const dialect of dialects) {
    it(`arrives when the page is opened again, by ${dialect}`, async () => {
      const demo = await DemoPage.open(context, gateway);
      await demo.speak("1", dialect);
      await demo.connect("1");
      await demo.page.close();
      const texts = three("while the page was closed");
      await publish("1", texts);
      const back = await arrived("1", dialect, texts);

      // And again, by a page that has just had some.
      await back.page.close();
      const more = three("while it was closed again");
      await publish("1", more);
      await arrived("1", dialect, more);
    });

    it(`arrives though the gateway was killed and restarted meanwhile, by ${dialect}`, async () => {
      const demo = await DemoPage.open(context, gateway);
      await demo.speak("1", dialect);
      await demo.connect("1");
      await demo.page.close();
      const texts = three("before the gateway was killed");
      await publish("1", texts);
      await gateway.end("SIGKILL");
      await gateway.start();
      await arrived("1", dialect, texts);
    });

    it(`arrives on a page that stays open and connects again, by ${dialect}`, async () => {
      const demo = await DemoPage.open(context, gateway);
      await demo.speak("1", dialect);
      await demo.connect("1");
      const [before] = three("before it left");
      await publish("1", [before]);
      await demo.received("1", before);
      await demo.leave("1");
      const texts = three("while it was disconnected");
      await publish("1", texts);
      await demo.connect("1");
      const last = `and then ${crypto.randomUUID()}`;
      await publish("1", [last]);
      await demo.receivedOf("1", texts, last);
      // A client that has a position gets nothing twice.
      if (dialect === "eventsource") assert.equal(await demo.card("1").locator(".list .again").count(), 0);
      assert.deepEqual(demo.said, []);
    });

    it(`is told as a story by the page, by ${dialect}`, async () => {
      const demo = await DemoPage.open(context, gateway);
      await demo.speak("2", dialect);
      await demo.connect("2");
      await demo.button("Away and back, user 2").click();
      const tale = await demo.card("2").locator(".tale[data-state=done]").textContent();
      assert.match(tale, /^All three arrived, in order, once, \d+ ms after coming back\.$/);
      const texts = (await demo.texts("2")).slice(0, 3).reverse();
      assert.deepEqual(texts, ["first", "second", "third"].map((nth) => `While you were away, the ${nth}`));
      assert.equal(await demo.card("2").locator(".list .again").count(), 0);
      assert.deepEqual(demo.said, []);
    });
  }

  it("arrives by itself where the browser's EventSource lost its gateway, killed and restarted", async () => {
    const demo = await DemoPage.open(context, gateway);
    await demo.speak("1", "eventsource");
    await demo.connect("1");
    const texts = three("around the kill");
    await publish("1", texts.slice(0, 1));
    await demo.received("1", texts[0]);
    await gateway.end("SIGKILL");
    await demo.state("1", "busy");
    await gateway.start();
    await publish("1", texts.slice(1)); // most likely before the browser is back
    await demo.state("1", "on");
    const last = `and then ${crypto.randomUUID()}`;
    await publish("1", [last]);
    await demo.receivedOf("1", texts, last);
    assert.equal(await demo.card("1").locator(".list .again").count(), 0);
    const other = demo.said.filter((line) => !/ERR_(CONNECTION_(REFUSED|RESET)|INCOMPLETE_CHUNKED_ENCODING|EMPTY_RESPONSE)/.test(line));
    assert.deepEqual(other, []);
  });

  it("has a position on every notification, by eventsource, and none by messagechannel", async () => {
    const demo = await DemoPage.open(context, gateway);
    await demo.speak("1", "eventsource");
    for (const user of ["1", "2"]) {
      await demo.connect(user);
      const texts = three("with a position");
      await publish(user, texts);
      await demo.received(user, texts[2]);
    }
    const found = await demo.positions("1");
    assert.equal(found.length, (await demo.texts("1")).length);
    for (const one of found) assert.match(one, position);
    assert.equal(new Set(found).size, found.length, "two have the same");
    assert.equal(await demo.card("1").locator(".known .position").textContent(), found[0]);
    assert.deepEqual(await demo.positions("2"), []);
    assert.equal(await demo.card("2").locator(".known .position").textContent(), "kept by the gateway");

    // What is not stored has no position of its own.
    await demo.publish("1", "live only", "legacy");
    await demo.received("1", "live only");
    assert.deepEqual(await demo.positions("1"), found);
  });

  it("is not lost in changing the dialect", async () => {
    const demo = await DemoPage.open(context, gateway);
    const all = [];
    await demo.connect("1");
    for (const dialect of ["eventsource", "messagechannel", "eventsource"]) {
      const texts = three(`before ${dialect}`);
      await demo.leave("1");
      await publish("1", texts);
      all.push(...texts);
      await demo.speak("1", dialect);
      await demo.connect("1");
      await demo.received("1", texts[2]);
    }
    const got = (await demo.card("1").locator(".list li:not(.again) .data").allTextContents()).reverse();
    assert.deepEqual(got.filter((text) => all.includes(text)), all);
    assert.deepEqual(demo.said, []);
  });
});
