// The story of a user who goes away: three are published meanwhile, the user
// comes back, and there they are, in order, once.

import { newId, publish } from "./backend.js";

const titles = ["first", "second", "third"];

// A Story tells a card's. tell shows a sentence: state is "", "done" or "failed".
export class Story {
  #expected = []; // message ids, in order
  #got = [];
  #backAt = 0;
  #tell;

  constructor(tell) {
    this.#tell = tell;
  }

  // publish has three published for the user, who is away. It returns whether
  // all were acknowledged.
  async publish(user) {
    this.#expected = titles.map(newId);
    this.#got = [];
    for (const [i, id] of this.#expected.entries()) {
      this.#tell("", `User ${user} is away. Publishing the ${titles[i]} of three.`);
      const result = await publish({ user, data: `While you were away, the ${titles[i]}`, kind: "durable", id });
      if (result.error) {
        this.#expected = [];
        this.#tell("failed", result.error);
        return false;
      }
    }
    this.#tell("", "All three are stored. Coming back.");
    this.#backAt = performance.now();
    return true;
  }

  // received is told of every message that comes.
  received(id) {
    if (!this.#expected.includes(id)) return;
    this.#got.push(id);
    const [got, want] = [this.#got.join(), this.#expected.join()];
    const ms = Math.round(performance.now() - this.#backAt);
    if (got === want) this.#tell("done", `All three arrived, in order, once, ${ms} ms after coming back.`);
    else if (want.startsWith(got)) this.#tell("", `${this.#got.length} of three have arrived.`);
    else if (inOrder(this.#got, this.#expected)) {
      this.#tell("failed", "One is missing here: another client of this user has received it. By messagechannel a user's clients share a place, unless each has a device of its own.");
    } else this.#tell("failed", "They arrived in another order, or twice.");
  }

  // over is told when the connection ends before all have arrived.
  over() {
    if (this.#got.length < this.#expected.length) this.#tell("", "");
    this.#expected = [];
  }
}

// inOrder tells whether got is want with something left out.
function inOrder(got, want) {
  return got.every((id, i) => i === 0 || want.indexOf(got[i - 1]) < want.indexOf(id));
}
