// The form that has the example backend publish over NATS.

import { newId, publish } from "./backend.js";

export class Form {
  #form;
  #outcome;
  #cards;
  #unsure = null; // the last request whose outcome is not known: {what, id}

  constructor(form, outcome, cards) {
    this.#form = form;
    this.#outcome = outcome;
    this.#cards = cards;
    for (const id of cards.keys()) form.querySelector("#to").append(choice(id));
    form.querySelector("#to input").checked = true;
    form.addEventListener("change", () => this.#name());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#publish();
    });
    this.#name();
  }

  // name shows the chosen user's subjects, and what the chosen one is.
  #name() {
    const kind = this.#form.querySelector("[name=kind]:checked");
    this.#form.querySelector("#subject-note").textContent = kind.dataset.note;
    for (const code of this.#form.querySelectorAll("[data-subject]")) {
      code.textContent = code.dataset.subject + this.#form.elements.user.value;
    }
  }

  async #publish() {
    const { user, kind, text } = this.#form.elements;
    const what = { user: user.value, data: text.value, kind: kind.value };
    const id = this.#idFor(what);
    const card = this.#cards.get(what.user);
    const button = this.#form.querySelector("button");

    button.disabled = true;
    this.#show("", "Publishing…");
    card.publishing(id);
    const result = await publish({ ...what, id });
    button.disabled = false;

    this.#unsure = result.unsure ? { what: JSON.stringify(what), id } : null;
    if (result.error) {
      card.notPublished(id);
      this.#show("failed", result.error);
      return;
    }
    card.published(id, result);
    const away = card.connected ? "" : ` User ${what.user} is not connected on this page${result.stream ? ", and gets it on coming back" : ", so it is not shown here"}.`;
    this.#show("done", receipt(result) + away);
  }

  // idFor returns a new message id, or that of the same request made again
  // because its outcome is not known: the stream then keeps one message.
  #idFor(what) {
    if (this.#unsure && this.#unsure.what === JSON.stringify(what)) return this.#unsure.id;
    return newId();
  }

  #show(state, text) {
    this.#outcome.dataset.state = state;
    this.#outcome.textContent = text;
  }
}

function receipt({ subject, stream, seq, duplicate }) {
  if (!stream) return `Published on ${subject}. Core NATS gives no acknowledgement.`;
  const again = duplicate ? ", which already had it" : "";
  return `Published on ${subject}. Acknowledged by stream ${stream}, sequence ${seq}${again}.`;
}

function choice(id) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  const text = document.createElement("span");
  input.type = "radio";
  input.name = "user";
  input.value = id;
  text.textContent = `User ${id}`;
  label.append(input, text);
  return label;
}
