// The dialect eventsource, from the client's side: a browser's own EventSource
// on /events. It connects again by itself, and says where it was.

import { parse, whyNotOpened } from "./connection.js";

export const steps = {
  sent: "Token sent, in the URL",
  asked: "Gateway asks the backend",
  authenticated: "Authenticated",
  subscribed: "First position",
};

// connect is as connection.js says.
export function connect(base, token, from, on) {
  const url = new URL("events", base);
  url.search = `token=${encodeURIComponent(token)}${from && `&since=${encodeURIComponent(from)}`}`;
  const source = new EventSource(url);
  const sentAt = performance.now();
  let tries = 1; // this is the first
  let admitted = false; // in this try
  let unavailable = "";
  let at = from;
  let over = false;

  const end = (why) => {
    if (over) return;
    over = true;
    source.close();
    on.closed(why);
  };

  // at moves on with everything that has an id of its own.
  const notified = (data, position) => {
    on.notified(data, position === at ? "" : position);
    at = position;
  };

  source.onmessage = ({ data, lastEventId }) => notified(data, lastEventId);
  source.addEventListener("binary", ({ data, lastEventId }) => notified(decode(data), lastEventId));
  source.addEventListener("position", ({ lastEventId }) => {
    if (!admitted) {
      admitted = true;
      unavailable = "";
      on.answered({ success: true }, tries === 1 ? performance.now() - sentAt : undefined);
    }
    at = lastEventId;
    on.placed(at);
  });
  source.addEventListener("reset", ({ data, lastEventId }) => {
    at = lastEventId;
    on.placed(at);
    on.reset(parse(data)?.reason);
  });
  source.addEventListener("unavailable", ({ data }) => (unavailable = parse(data)?.reason));
  source.addEventListener("expired", () => end("The token's time is over"));

  source.onerror = async () => {
    if (over) return;
    if (source.readyState !== EventSource.CLOSED) {
      const why = unavailable === "drain" ? "The gateway is stopping or restarting" : unavailable ? `Not now (${unavailable})` : "The connection to the gateway was lost";
      tries++;
      admitted = false;
      on.waiting(why);
      return;
    }
    const refusal = await refused(url);
    if (over) return;
    if (refusal) on.answered(refusal, performance.now() - sentAt);
    end(refusal ? String(refusal.message || "The backend refused the token") : await whyNotOpened("request"));
  };

  on.opened();
  return () => end("");
}

// refused asks once more, for the body of a 401: an EventSource does not show it.
async function refused(url) {
  const asking = new AbortController();
  try {
    const answer = await fetch(url, { cache: "no-store", signal: asking.signal });
    return answer.status === 401 ? await answer.json() : null;
  } catch {
    return null;
  } finally {
    asking.abort();
  }
}

// decode returns what was sent as base64: bytes, or text that the format can't
// carry.
function decode(data) {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return bytes.buffer;
  }
}
