// One user's card: its connection, its six steps, and what it received.

import { connect, parse } from "./client.js";
import { clock, milliseconds } from "./time.js";

const LISTED = 50; // the newest ones; older ones leave the list, not the count
const BYTES_SHOWN = 48;

export class Card {
  #user;
  #url;
  #disconnect = null; // ends the connection; null without one
  #connected = false; // authenticated and subscribed
  #own = new Map(); // what this page published and is not settled yet, by message id
  #count = 0;

  constructor(user, url) {
    this.#user = user;
    this.#url = url;
    this.element = document.getElementById("user").content.firstElementChild.cloneNode(true);
    this.element.dataset.user = user.id;
    const title = this.#find("h2");
    title.textContent = `User ${user.id}`;
    title.id = `user-${user.id}`;
    this.element.setAttribute("aria-labelledby", title.id);
    this.#find(".list").setAttribute("aria-label", `Received by user ${user.id}`);
    this.#find(".token code").textContent = `${user.token.slice(0, 8)}…${user.token.slice(-6)}`;
    this.#button.addEventListener("click", () => (this.#disconnect ? this.#disconnect() : this.#connect()));
    this.#show("off", "Not connected");
  }

  get connected() {
    return this.#connected;
  }

  // publishing, published and notPublished follow a publication that this page
  // has the backend make for the user. Its arrival may come before the ack, or
  // without one.
  publishing(id) {
    this.#own.set(id, { at: performance.now(), when: clock(), arrived: false, acked: false });
    this.#step("published", "waiting");
    this.#step("received", this.#connected ? "waiting" : "");
  }

  published(id, { subject, duplicate }) {
    const own = this.#own.get(id);
    this.#step("published", "done", own?.when, subject);
    if (own) this.#settle(id, own, { acked: true });
    if (duplicate) this.#stopWaiting(); // the stream had it before: it does not come again
  }

  notPublished(id) {
    if (this.#own.get(id)?.arrived) return;
    this.#step("published", "failed");
    this.#stopWaiting();
  }

  #stopWaiting() {
    if (this.#steps.received.dataset.state === "waiting") this.#step("received", "");
  }

  #settle(id, own, now) {
    Object.assign(own, now);
    if (own.acked && (own.arrived || !this.#connected)) this.#own.delete(id);
  }

  #connect() {
    this.#problem("");
    for (const name of ["sent", "asked", "authenticated", "subscribed", "published", "received"]) this.#step(name, "");
    this.#show("busy", "Connecting…");
    this.#step("sent", "waiting");
    this.#disconnect = connect(this.#url, this.#user.token, {
      opened: () => this.#opened(),
      answered: (reply, ms) => this.#answered(reply, ms),
      notified: (data) => this.#notified(data),
      closed: (why) => this.#closed(why),
    });
  }

  #opened() {
    this.#step("sent", "done", clock());
    this.#step("asked", "waiting");
    this.#show("busy", "Authenticating…");
  }

  #answered(reply, ms) {
    if (reply === null || reply.success !== true) {
      // The backend's own refusal has no message; the gateway's says what kept
      // it from an answer.
      const asked = reply !== null && reply.message === undefined;
      this.#step("asked", asked ? "done" : "failed", `after ${milliseconds(ms)}`);
      if (asked) this.#step("authenticated", "failed", clock());
      return;
    }
    this.#step("asked", "done", `in ${milliseconds(ms)}`);
    this.#step("authenticated", "done", clock(), `as user ${reply.user_id}`);
    this.#step("subscribed", "done", clock());
    this.#connected = true;
    this.#show("on", "Connected");
  }

  #notified(data) {
    const now = performance.now();
    const message = parse(data);
    const own = message === null ? undefined : this.#own.get(message.id);
    const facts = [];
    if (own === undefined) {
      this.#step("published", "done", "", "elsewhere");
      this.#step("received", "done", clock());
    } else {
      const after = milliseconds(now - own.at);
      if (!own.acked) this.#step("published", "done", own.when);
      this.#settle(message.id, own, { arrived: true });
      this.#step("received", "done", clock(), `after ${after}`);
      facts.push(`${after} after publishing`);
    }
    if (typeof data !== "string") facts.push(`binary frame, ${data.byteLength} bytes, not UTF-8`);
    this.#list(data, message, facts);
  }

  #closed(why) {
    this.#disconnect = null;
    const was = this.#connected;
    this.#connected = false;
    this.#own.clear();
    for (const [name, step] of Object.entries(this.#steps)) {
      if (was || why === "") this.#step(name, "");
      else if (step.dataset.state === "waiting") this.#step(name, "failed");
    }
    this.#show("off", why === "" ? "Not connected" : "Disconnected");
    this.#problem(why === "" ? "" : `${why}. Connect to try again.`);
  }

  #list(data, message, facts) {
    const item = document.createElement("li");
    const text = document.createElement("span");
    text.className = "data";
    if (message !== null && typeof message.data === "string") {
      text.textContent = message.data;
    } else {
      text.classList.add("raw");
      text.textContent = typeof data === "string" ? data : hex(data);
    }
    const line = document.createElement("span");
    line.className = "facts";
    const when = document.createElement("time");
    when.textContent = clock();
    line.append(when);
    for (const fact of facts) {
      const part = document.createElement("span");
      part.textContent = fact;
      line.append(part);
    }
    item.append(text, line);
    const list = this.#find(".list");
    list.prepend(item);
    if (list.children.length > LISTED) list.lastElementChild.remove();
    this.#count++;
    this.#find(".count").textContent = this.#count;
  }

  // step shows one of the six: state is "", "waiting", "done" or "failed".
  #step(name, state, when = "", note = "") {
    const step = this.#steps[name];
    step.dataset.state = state;
    for (const old of step.querySelectorAll(".note, .when, .said")) old.remove();
    for (const [kind, text] of [["note", note], ["when", when], ["said", said[state]]]) {
      if (!text) continue;
      const part = document.createElement("span");
      part.className = kind;
      part.textContent = text;
      step.append(part);
    }
  }

  #show(state, text) {
    this.element.dataset.state = state;
    this.#find(".state").textContent = text;
    this.#button.textContent = state === "off" ? "Connect" : "Disconnect";
    this.#button.setAttribute("aria-label", `${this.#button.textContent} user ${this.#user.id}`);
  }

  #problem(text) {
    this.#find(".problem").textContent = text;
    this.#find(".problem").hidden = text === "";
  }

  get #button() {
    return this.#find(".connect");
  }

  get #steps() {
    return Object.fromEntries([...this.element.querySelectorAll("[data-step]")].map((step) => [step.dataset.step, step]));
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }
}

// What the colour of a step's mark means, for those who don't see it.
const said = { waiting: "under way", done: "done", failed: "failed" };

function hex(buffer) {
  const bytes = new Uint8Array(buffer, 0, Math.min(buffer.byteLength, BYTES_SHOWN));
  const shown = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return buffer.byteLength > BYTES_SHOWN ? `${shown} …` : shown;
}
