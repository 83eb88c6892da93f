// The message-channel protocol, from the client's side:
//
//   page → gateway  {"type":"AUTH","token":T}
//   gateway → page  the backend's reply, {"success":true,"user_id":1}, or
//                   {"success":false,…} and a close
//   page → gateway  {"type":"NOTIFICATION"}, not answered
//   gateway → page  what is published for the user, from then on: the
//                   payload's bytes, as text, or as a binary frame where they
//                   are not UTF-8

// connect opens one connection and reports to `on`:
//
//   opened()             the socket is open and the token is sent
//   answered(reply, ms)  the answer to the token, and how long it took
//   notified(data)       a publication: a string or an ArrayBuffer
//   closed(why)          the connection is over; why is "" after disconnect()
//
// It returns disconnect, after which nothing but closed("") is reported.
export function connect(url, token, on) {
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
    on.closed(refusal || (opened ? whyClosed(event) : await whyNotOpened()));
  };

  return function disconnect() {
    if (over) return;
    over = true;
    socket.close();
    on.closed("");
  };
}

// parse returns the JSON object in a text frame, else null.
export function parse(data) {
  if (typeof data !== "string") return null;
  try {
    const value = JSON.parse(data);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
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

// A browser does not say why a WebSocket did not open. The gateway does.
async function whyNotOpened() {
  try {
    const ready = await fetch("readyz", { cache: "no-store", signal: AbortSignal.timeout(2000) });
    return ready.ok ? "The gateway did not accept the WebSocket" : "The gateway is up, but not ready yet";
  } catch {
    return "The gateway can't be reached";
  }
}
