// Sends a notification to a user.
//
//   node publish.js USER DATA [ID]
//   node publish.js 1 '{"user_id":"1","data":"hello"}'
//
// DATA goes to the user's connections byte for byte; "-" reads it from stdin.
//
// The message is stored in a stream, and the stream says so with an ack. Why
// wait for it: a publish without one is a packet on its way. In a burst, while
// NATS elects a leader or restarts, such messages vanish without an error.
// So: no ack, no success; send again, with the same id. The stream keeps the
// first message of an id and drops its copies for two minutes, so that a retry
// stores nothing twice where only the ack was lost.
//
// ID names this one event in your system ("order-17-paid"), so that a retry by
// another process is the same message too. Without ID a fresh one is made.
//
// Environment: PUBLISH_DEADLINE (seconds, 10), NATS_URL (nats://127.0.0.1:4222),
// NATS_USER, NATS_PASSWORD, NATS_CA, BELFRY_NATS_PREFIX.
// Exit code: 0 stored, 1 not acknowledged in time, 2 cannot be sent at all.
import { jetstream } from "@nats-io/jetstream";
import { randomUUID } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { connectNATS, notificationSubject, say } from "./belfry.js";

const [user = "", arg, id = randomUUID(), ...tooMany] = process.argv.slice(2);
if (arg === undefined || tooMany.length > 0 || /[^\x21-\x7e]/.test(id)) {
  say("usage: node publish.js USER DATA [ID]   (DATA - reads stdin; ID without spaces)");
  process.exit(2);
}
const data = arg === "-" ? await buffer(process.stdin) : Buffer.from(arg);
const seconds = Number(process.env.PUBLISH_DEADLINE) || 10;
const until = performance.now() + seconds * 1000;
const left = () => until - performance.now();

let subject;
try {
  subject = notificationSubject(user);
} catch (err) {
  say(`cannot be sent: ${err.message}`);
  process.exit(2);
}

let why = "NATS cannot be reached, or refuses the credentials";
const deadline = setTimeout(giveUp, left()); // one, whatever is being waited for
const nc = await connectNATS();
if (data.length > nc.info.max_payload - 512) { // 512: room for the id
  say(`cannot be sent: ${data.length} bytes are more than this NATS takes (${nc.info.max_payload})`);
  process.exit(2);
}
const js = jetstream(nc);

for (let pause = 100; ; pause = Math.min(2 * pause, 2000)) {
  try {
    // The subject is part of the id: streams compare ids alone, and
    // "order-17" for two users is two messages.
    const ack = await js.publish(subject, data, {
      msgID: `${subject}:${id}`,
      timeout: Math.max(1, Math.min(2000, left())),
    });
    const { stream, seq, duplicate } = ack;
    console.log(JSON.stringify({ subject, id, stream, seq, duplicate }));
    clearTimeout(deadline);
    await nc.close();
    break;
  } catch (err) {
    why = err.message;
    await sleep(pause * (0.5 + Math.random() / 2));
  }
}

function giveUp() {
  say(`${subject} was not acknowledged within ${seconds} s: ${why}`);
  say(`keep it: put it with its id ${id} into an outbox table or a queue, and publish it again later with the same id`);
  process.exit(1);
}
