// What the two dialects have in common. Each has
//
//   steps                           what its first four steps are called
//   connect(base, token, from, on)  opens a connection to the gateway at base and
//                                   reports to `on`; from is a position to go on
//                                   from, or ""
//
// connect returns disconnect, after which nothing but closed("") is reported.
// `on` has
//
//   opened()                 the token is sent
//   answered(reply, ms)      the answer to the token, and how long it took;
//                            without ms nobody knows
//   placed(position)         where the client stands
//   notified(data, position) a publication: a string or an ArrayBuffer; position
//                            is "" where it has none
//   reset(reason)            the position could not be served
//   waiting(why)             the connection is lost, and the browser tries again
//   closed(why)              it is over; why is "" after disconnect()

// parse returns the JSON object in a text, else null.
export function parse(data) {
  if (typeof data !== "string") return null;
  try {
    const value = JSON.parse(data);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

// A browser does not say why something did not open. The gateway does.
export async function whyNotOpened(what) {
  try {
    const ready = await fetch("readyz", { cache: "no-store", signal: AbortSignal.timeout(2000) });
    return ready.ok ? `The gateway did not accept the ${what}` : "The gateway is up, but not ready yet";
  } catch {
    return "The gateway can't be reached";
  }
}
