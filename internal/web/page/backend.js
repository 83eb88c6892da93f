// What the page asks of the example backend: to publish.

// newId is an id for a message. A request that is made again with the same one,
// because its outcome is not known, is one message in the stream.
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// publish asks for {user, data, kind, id} and returns the receipt, or {error},
// with unsure where it may have been published all the same.
export async function publish(order) {
  let response;
  try {
    response = await fetch("demo/publish", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(order),
      signal: AbortSignal.timeout(10000),
    });
  } catch {
    return { unsure: true, error: "No answer: the gateway can't be reached. Publish again to retry under the same message id." };
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  return { unsure: response.status >= 500, error: `Not acknowledged: ${body?.error ?? `the answer was HTTP ${response.status}`}.` };
}
