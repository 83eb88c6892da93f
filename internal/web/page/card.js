// One user's card: its connection, its six steps, and what it received.

import { parse } from "./connection.js";
import * as eventsource from "./eventsource.js";
import * as messagechannel from "./messagechannel.js";
import { Story } from "./story.js";
import { clock, milliseconds } from "./time.js";

const LISTED = 50; // the newest ones; older ones leave the list, not the count
const REMEMBERED = 500; // message ids, to know one that comes again
const BYTES_SHOWN = 48;
const CONFIRMED = 2500; // ms after it arrived a message is known to the gateway to have arrived

const dialects = { messagechannel, eventsource };

export class Card {
  #user;
  #url;
  #disconnect = null; // ends the connection; null without one
  #connected = false; // authenticated and subscribed
  #own = new Map(); // what this page published and is not settled yet, by message id
  #count = 0;
  #seen = new Set(); // message ids
  #at = ""; // the last position; "" where the gateway remembers instead
  #lastAt = -Infinity; // when the last message arrived
  #story;

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
    this.#find(".token").textContent = `${user.token.slice(0, 8)}…${user.token.slice(-6)}`;
    for (const radio of this.element.querySelectorAll("[type=radio]")) radio.name = `dialect-${user.id}`;
    this.#find(".dialects").addEventListener("change", () => this.#switch());
    this.#button.addEventListener("click", () => (this.#disconnect ? this.#disconnect() : this.#connect()));
    this.#story = new Story((state, text) => this.#tell(state, text));
    this.#find(".away").addEventListener("click", () => this.#goAway());
    this.#find(".away").setAttribute("aria-label", `Away and back, user ${user.id}`);
    this.#switch();
    this.#show("off", "Not connected");
  }

  get #dialect() {
    return this.#find(".dialects :checked").value;
  }

  // switch takes over the chosen dialect, on a new connection if there is one.
  // A position does not go from one to the other: the gateway knows where the
  // user stands.
  #switch() {
    const again = this.#disconnect !== null;
    this.#disconnect?.();
    for (const [name, title] of Object.entries(dialects[this.#dialect].steps)) this.#steps[name].querySelector(".name").textContent = title;
    this.#place("");
    if (again) this.#connect();
  }

  // goAway tells the story: disconnected, three published, connected again. A
  // client without a position that leaves at once would be sent its last message
  // once more.
  async #goAway() {
    this.#find(".away").disabled = true;
    const soon = CONFIRMED - (performance.now() - this.#lastAt);
    if (this.#at === "" && soon > 0) {
      this.#tell("", "A moment: the gateway is finding out that the last message has arrived.");
      await new Promise((later) => setTimeout(later, soon));
      if (!this.#connected) return;
    }
    this.#disconnect?.();
    this.#show("off", "Away");
    this.#button.disabled = true;
    const published = await this.#story.publish(this.#user.id);
    this.#button.disabled = false;
    if (published) this.#connect();
    else this.#show("off", "Not connected");
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
    this.#disconnect = dialects[this.#dialect].connect(this.#url, this.#user.token, this.#at, {
      opened: () => this.#opened(),
      answered: (reply, ms) => this.#answered(reply, ms),
      placed: (position) => this.#place(position),
      notified: (data, position) => this.#notified(data, position),
      reset: (reason) => this.#problem(`The position could not be served (${reason}): something may be missing, or come again.`),
      waiting: (why) => this.#waiting(why),
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
    this.#problem("");
    this.#step("asked", "done", ms === undefined ? "" : `in ${milliseconds(ms)}`);
    this.#step("authenticated", "done", clock(), reply.user_id === undefined ? "" : `as user ${reply.user_id}`);
    this.#step("subscribed", "done", clock());
    this.#connected = true;
    this.#show("on", "Connected");
  }

  // waiting is for a browser that connects again by itself.
  #waiting(why) {
    this.#connected = false;
    for (const name of ["sent", "asked", "authenticated", "subscribed"]) this.#step(name, "");
    this.#step("sent", "waiting");
    this.#show("busy", "Connecting again…");
    this.#problem(`${why}. The browser connects again.`);
  }

  // place shows where the client stands.
  #place(position) {
    this.#at = position;
    const place = this.#find(".position");
    place.textContent = position || (this.#dialect === "messagechannel" ? "kept by the gateway" : "none yet");
    place.classList.toggle("none", position === "");
  }

  #notified(data, position) {
    const now = performance.now();
    this.#lastAt = now;
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
    if (typeof data !== "string") facts.push(`${this.#dialect === "messagechannel" ? "binary frame" : "binary"}, ${data.byteLength} bytes, not UTF-8`);
    const again = this.#knows(message?.id);
    if (again) facts.push("received before");
    if (position) this.#place(position);
    this.#list(data, message, facts, position, again);
    this.#story.received(message?.id);
  }

  // knows tells whether a message has come before: what was sent in the last
  // moments before a connection ended may come again where the gateway has to
  // remember.
  #knows(id) {
    if (id === undefined || id === null) return false;
    if (this.#seen.has(id)) return true;
    this.#seen.add(id);
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.values().next().value);
    return false;
  }

  #closed(why) {
    this.#disconnect = null;
    const was = this.#connected;
    this.#connected = false;
    this.#own.clear();
    this.#story.over();
    for (const [name, step] of Object.entries(this.#steps)) {
      if (was || why === "") this.#step(name, "");
      else if (step.dataset.state === "waiting") this.#step(name, "failed");
    }
    this.#show("off", why === "" ? "Not connected" : "Disconnected");
    this.#problem(why === "" ? "" : `${why}. Connect to try again.`);
  }

  #list(data, message, facts, position, again) {
    const item = document.createElement("li");
    item.classList.toggle("again", again);
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
    if (position) {
      const place = document.createElement("code");
      place.textContent = position;
      place.title = "Position";
      line.append(place);
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
    this.#find(".away").disabled = state !== "on";
  }

  #tell(state, text) {
    const tale = this.#find(".tale");
    tale.dataset.state = state;
    tale.textContent = text;
    tale.hidden = text === "";
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
