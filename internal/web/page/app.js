// The demo page: two users' cards and the backend's form.

import { Card } from "./card.js";
import { Form } from "./form.js";

// The example backend's tokens for users 1 and 2, as in the original system.
const users = [
  { id: "1", token: "57uiWCKp/44wImihy0C9+g==" },
  { id: "2", token: "Hm5tYwbyoSM71Ns7A43ujQ==" },
];

const gateway = new URL("./", location.href);
document.getElementById("gateway").textContent = gateway.href;

const cards = new Map();
for (const user of users) {
  const card = new Card(user, gateway.href);
  document.getElementById("users").append(card.element);
  cards.set(user.id, card);
}
new Form(document.getElementById("publish"), document.getElementById("outcome"), cards);
