// Answers Belfry's question "whose token is this?".
//
//   node authenticate.js
//
// The question is a NATS request on "authentication". Its payload is the token
// as the client sent it, raw, no JSON around it. The answer is one of
//
//   {"success":true,"user_id":1}
//   {"success":false,"user_id":null}
//
// Start as many as you like: they share one queue group, so each question is
// answered once. When NATS goes away they connect again by themselves.
//
// Environment: NATS_URL (nats://127.0.0.1:4222), NATS_USER, NATS_PASSWORD,
// NATS_CA, BELFRY_NATS_PREFIX, TOKEN_SECRET.
import { createDecipheriv } from "node:crypto";
import { authenticationSubject, connectNATS, say } from "./belfry.js";

// The demo's secret. A real one is yours alone: set TOKEN_SECRET.
const DEMO_SECRET = "0wCNwGRwJ58sJdZBzUNyP6ogJVSw2OzoTYhDNl5Cnvz8rWfok5Y0yPPA2Uy2HXFj";
const key = Buffer.from(process.env.TOKEN_SECRET || DEMO_SECRET).subarray(0, 16);

/**
 * The user whom a token names, or null. This part is yours: look a session up,
 * verify a signature, ask your framework. The demo's tokens are the base64 of
 * AES-128-ECB over {"user_id":1}; ECB has no signature and these never expire,
 * so take something better for real users.
 */
function userOf(token) {
  try {
    const open = createDecipheriv("aes-128-ecb", key, null);
    const plain = Buffer.concat([open.update(token, "base64"), open.final()]);
    const user = JSON.parse(plain.toString())?.user_id;
    // Belfry takes an integer up to 2^53 or a string that isn't empty.
    const valid = Number.isSafeInteger(user) || (typeof user === "string" && user !== "");
    return valid ? user : null;
  } catch {
    return null; // not a token of ours
  }
}

const nc = await connectNATS();
const questions = nc.subscribe(authenticationSubject(), { queue: "authenticators" });
await nc.flush();
process.once("SIGTERM", () => nc.drain()); // answers what was asked already
say(`answering ${authenticationSubject()} on ${nc.getServer()}`);

for await (const question of questions) {
  const user = userOf(question.string());
  const from = `connection ${question.headers?.get("Belfry-Connection") || "unknown"}`;
  say(user === null ? `refused, ${from}` : `accepted user ${JSON.stringify(user)}, ${from}`);
  question.respond(JSON.stringify({ success: user !== null, user_id: user }));
}
