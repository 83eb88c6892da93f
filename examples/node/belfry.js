// What a backend and Belfry have agreed on: subjects, how a user id stands in
// one, and the way to NATS. The names of the environment are those of the
// gateway.
import { connect } from "@nats-io/transport-node";
import { basename } from "node:path";

const env = process.env;

/** A subject behind BELFRY_NATS_PREFIX: "acme" makes acme.notification.42. */
function subject(name) {
  return env.BELFRY_NATS_PREFIX ? `${env.BELFRY_NATS_PREFIX}.${name}` : name;
}

export function authenticationSubject() {
  return subject(env.BELFRY_SUBJECTS_AUTHENTICATION || "authentication");
}

/** The durable subject of a user's notifications. */
export function notificationSubject(user) {
  return `${subject(env.BELFRY_SUBJECTS_NOTIFICATION || "notification")}.${userToken(user)}`;
}

/**
 * A user id as one token of a subject: as it stands where it consists of
 * [A-Za-z0-9_-], else "=" and its unpadded base64url. Dots, spaces and
 * wildcards mean something in a subject, so "a.b@c.d" is "=YS5iQGMuZA".
 * Belfry delivers this spelling only.
 */
export function userToken(user) {
  const token = /^[A-Za-z0-9_-]+$/.test(user) ? user : `=${Buffer.from(user).toString("base64url")}`;
  if (user === "" || token.length > 128) {
    throw new RangeError("a user id has 1 to 128 bytes as it stands in a subject");
  }
  return token;
}

/**
 * Connects to NATS_URL ("nats://a:4222,nats://b:4222"; user and password in
 * it, or in NATS_USER and NATS_PASSWORD). Goes on trying, at first and after
 * each break; `say` is told. Resolves once connected.
 */
export async function connectNATS() {
  const urls = (env.NATS_URL || "nats://127.0.0.1:4222").split(",").map(parse);
  const secure = env.NATS_CA || urls.some((url) => url.protocol === "tls:");
  const nc = await connect({
    name: "belfry example (Node)",
    servers: urls.map((url) => url.host), // this client takes no credentials in an address
    user: decodeURIComponent(urls[0].username) || env.NATS_USER,
    pass: decodeURIComponent(urls[0].password) || env.NATS_PASSWORD,
    tls: secure ? { caFile: env.NATS_CA } : undefined,
    waitOnFirstConnect: true,
    maxReconnectAttempts: -1, // the default gives up after 10
    reconnectTimeWait: 100,
    ignoreAuthErrorAbort: true, // a password that is being changed mends by itself
  });
  report(nc);
  return nc;
}

async function report(nc) {
  for await (const { type, server } of nc.status()) {
    if (type === "disconnect") say("NATS is away, trying again");
    if (type === "reconnect") say(`connected again to ${server}`);
  }
}

function parse(address) {
  const url = address.trim();
  try {
    return new URL(url.includes("://") ? url : `nats://${url}`);
  } catch {
    say("NATS_URL is not of the form nats://host:4222");
    process.exit(2); // a wrong setting does not mend by itself
  }
}

/** Says on stderr what happens. Never give it a token or a payload. */
export function say(what) {
  console.error(`${basename(process.argv[1], ".js")}: ${what}`);
}
