// The dialect messagechannel, from the client's side:
//
//   page → gateway  {"type":"AUTH","token":T}
//   gateway → page  the backend's reply, {"success":true,"user_id":1}, or
//                   {"success":false,…} and a close
//   page → gateway  {"type":"NOTIFICATION"}, not answered
//   gateway → page  what is published for the user, from then on: the
//                   payload's bytes, as text, or as a binary frame where they
//                   are not UTF-8
//
// It carries no position: where the user's client stands is for the gateway to
// remember.

import { parse, whyNotOpened } from "./connection.js";

export const steps = {
  sent: "Socket opened, token sent",
  asked: "Gateway asks the backend",
  authenticated: "Authenticated",
  subscribed: "Subscribed",
};

// connect is as connection.js says; it needs no position.
export function connect(base, token, _, on) {
  const url = new URL(base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  let opened = false;
  let authenticated = false;
  let over = false;
  let sentAt = 0;
  let refusal = "";

  socket.onopen = () => {
    if (over) return;
    opened = true;
    sentAt = performance.now();
    socket.send(JSON.stringify({ type: "AUTH", token }));
    on.opened();
  };

  socket.onmessage = ({ data }) => {
    if (over) return;
    const frame = parse(data);
    if (frame && frame.success === false) refusal = String(frame.message || "The backend refused the token");
    if (authenticated) {
      on.notified(data);
      return;
    }
    authenticated = frame !== null && frame.success === true;
    on.answered(frame, performance.now() - sentAt);
    if (authenticated) socket.send(JSON.stringify({ type: "NOTIFICATION" }));
  };

  socket.onclose = async (event) => {
    if (over) return;
    over = true;
    on.closed(refusal || (opened ? whyClosed(event) : await whyNotOpened("WebSocket")));
  };

  return function disconnect() {
    if (over) return;
    over = true;
    socket.close();
    on.closed("");
  };
}

function whyClosed({ code, reason }) {
  const said = reason ? ` (${reason})` : "";
  switch (code) {
    case 1006:
      return "The connection to the gateway was lost";
    case 1012:
      return `The gateway is stopping or restarting${said}`;
    case 1000:
    case 1005:
      return `The gateway closed the connection${said}`;
    default:
      return `The gateway closed the connection with code ${code}${said}`;
  }
}
