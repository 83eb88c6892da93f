// A page written for the original system, unchanged but for the address: what
// it sends and gets, byte by byte.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";

import { launch, watch } from "./browser.js";
import { Gateway, build } from "./gateway.js";
import { until } from "./wait.js";

const token = "57uiWCKp/44wImihy0C9+g==";

// The original's pages look at `success` and `data`, and at nothing else.
const html = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>user1</title><ul></ul>
<script>
  function open(address, token) {
    const socket = new WebSocket(address);
    socket.onopen = function () {
      socket.send(JSON.stringify({ type: "AUTH", token: token }));
    };
    socket.onmessage = function (event) {
      const message = JSON.parse(event.data);
      if (message.success) {
        socket.send(JSON.stringify({ type: "NOTIFICATION" }));
      } else if (message.data) {
        const item = document.createElement("li");
        item.textContent = message.data;
        document.querySelector("ul").append(item);
      }
    };
  }
</script>`;

describe("a page of the original system", { timeout: 120000 }, () => {
  let built, gateway, browser, server, context, page, said, sent, got;

  before(async () => {
    built = await build();
    gateway = new Gateway(built);
    await gateway.start();
    browser = await launch();
    server = createServer((_, response) => response.setHeader("Content-Type", "text/html").end(html));
    await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  });
  after(async () => {
    await browser?.close();
    server?.closeAllConnections();
    server?.close();
    await gateway?.end();
    await built?.clean();
  });

  beforeEach(async () => {
    context = await browser.newContext();
    page = await context.newPage();
    said = watch(page);
    sent = [];
    got = [];
    page.on("websocket", (socket) => {
      socket.on("framesent", ({ payload }) => sent.push(payload));
      socket.on("framereceived", ({ payload }) => got.push(payload));
    });
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
  });
  afterEach(async () => {
    await context.close();
    assert.deepEqual(said, [], "the browser's console has something to say");
  });

  const address = () => `ws://${gateway.addresses.public}`;

  // raw opens a socket, sends the frames and returns what came back until the
  // close, with its code. A frame that is an array of bytes is sent as binary.
  const raw = (frames) =>
    page.evaluate(
      ([address, frames]) =>
        new Promise((done) => {
          const got = [];
          const socket = new WebSocket(address);
          socket.onopen = () => {
            for (const frame of frames) socket.send(Array.isArray(frame) ? new Uint8Array(frame) : frame);
          };
          socket.onmessage = ({ data }) => got.push(data);
          socket.onclose = ({ code, wasClean }) => done({ got, code, wasClean });
        }),
      [address(), frames],
    );

  it("gets its notifications", async () => {
    await page.evaluate(([address, token]) => open(address, token), [address(), token]);
    await until("the page to subscribe", () => sent.length === 2);
    const publication = '{"user_id":"1","data":"hello"}';
    for (let i = 0; i < 20 && got.length < 2; i++) {
      // NOTIFICATION is not answered: the first publication may come too early.
      await gateway.publish("1", publication);
      await until("it", () => got.length > 1, 1000).catch(() => {});
    }
    assert.deepEqual(sent, [`{"type":"AUTH","token":"${token}"}`, '{"type":"NOTIFICATION"}']);
    assert.deepEqual(got, ['{"success":true,"user_id":1}', publication]);
    assert.deepEqual(await page.locator("li").allTextContents(), ["hello"]);

    // Bytes pass unchanged: spaces, escapes and letters of any script.
    const odd = '{ "data" : "gr\\u00fc\u00df \u{1F514}",\n "user_id":"1" } ';
    await gateway.publish("1", odd);
    await until("the second one", () => got.length === 3);
    assert.equal(got[2], odd);

    await gateway.ask({ user: "1", data: "by the old name", kind: "legacy" });
    await until("the third one", () => got.length === 4);
    assert.equal(JSON.parse(got[3]).data, "by the old name");
  });

  it("is refused with the backend's reply, once, and a close without a code", async () => {
    const refused = await raw(['{"type":"AUTH","token":"nonsense"}']);
    assert.deepEqual(refused, { got: ['{"success":false,"user_id":null}'], code: 1005, wasClean: true });
  });

  const noType = "Invalid message structure. Type field is required";
  for (const [frame, message] of [
    ["hello", "Invalid JSON message structure"],
    ["", "Invalid JSON message structure"],
    ["{}", noType],
    ["[]", noType],
    ["1", noType],
    ["null", noType],
    ['"AUTH"', noType],
    ['{"type":"SEND"}', "Invalid message type"],
    ['{"type":null}', "Invalid message type"],
    ['{"type":"auth","token":"x"}', "Invalid message type"],
    ['{"Type":"AUTH"}', noType],
    ['{"type":"AUTH"}', "Token is required"],
    ['{"type":"AUTH","token":""}', "Token is required"],
    ['{"type":"AUTH","token":7}', "Token is required"],
  ]) {
    it(`is told what is wrong with ${frame || "an empty frame"}`, async () => {
      const answer = await raw([frame]);
      assert.deepEqual(answer, { got: [`{"success":false,"message":"${message}"}`], code: 1005, wasClean: true });
    });
  }

  it("may ask for notifications too early, and in binary frames", async () => {
    const auth = [...Buffer.from(`{"type":"AUTH","token":"${token}"}`)];
    const answer = await raw(['{"type":"NOTIFICATION"}', auth, "that is all"]);
    assert.equal(answer.code, 1005);
    assert.equal(answer.got.at(-1), '{"success":false,"message":"Invalid JSON message structure"}');
    // The bad frame may overtake the backend's answer; nothing else may come.
    if (answer.got.length > 1) assert.deepEqual(answer.got.slice(0, -1), ['{"success":true,"user_id":1}']);
  });
});
