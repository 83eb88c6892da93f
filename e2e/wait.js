// Waiting for conditions: never for time.

// until asks again and again until `ask` gives something true, and returns it.
// After `within` milliseconds it fails, saying what was waited for.
export async function until(what, ask, within = 15000) {
  const deadline = performance.now() + within;
  for (;;) {
    const got = await ask();
    if (got) return got;
    if (performance.now() > deadline) throw new Error(`waited ${within} ms for ${what}`);
    await new Promise((again) => setTimeout(again, 20));
  }
}
