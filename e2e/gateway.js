// The real binary, built from this repository and run as processes.

import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { until } from "./wait.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const run = promisify(execFile);

// What this process has started ends with it, however it ends.
const started = new Set();
process.on("exit", () => {
  for (const child of started) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

// The options of the machine's own gateway are not the test's.
const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("BELFRY_")));

// build compiles the binary into a new folder, which is removed by `clean`.
export async function build() {
  const folder = await mkdtemp(join(tmpdir(), "belfry-e2e-"));
  const binary = join(folder, "belfry");
  try {
    await run("go", ["build", "-o", binary, "./cmd/belfry"], { cwd: root });
  } catch (err) {
    await rm(folder, { recursive: true });
    if (err.code === "ENOENT") throw new Error("go is missing: install Go 1.26 or newer");
    throw new Error(`the binary does not build:\n${err.stderr}`);
  }
  return { binary, folder, clean: () => rm(folder, { recursive: true, force: true }) };
}

// A Gateway is `belfry demo` on free ports with a data folder of its own.
export class Gateway {
  #built;
  #child = null;
  #log = "";
  data;
  addresses = { public: "127.0.0.1:0", internal: "127.0.0.1:0", nats: "127.0.0.1:0" };

  constructor(built) {
    this.#built = built;
  }

  get url() {
    return `http://${this.addresses.public}/`;
  }

  get log() {
    return this.#log;
  }

  // start returns when the gateway is ready. A second start takes the addresses
  // of the first one, as a page that is already open and a backend expect.
  async start() {
    this.data ??= await mkdtemp(join(this.#built.folder, "data-"));
    const file = join(this.data, "addresses.json");
    await rm(file, { force: true });
    const at = this.addresses;
    const child = spawn(
      this.#built.binary,
      ["demo", "--public", at.public, "--internal", at.internal, "--nats-listen", at.nats.replace("nats://", ""), "--data", this.data],
      { cwd: this.#built.folder, env, stdio: ["ignore", "pipe", "pipe"] },
    );
    started.add(child);
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (this.#log += text));
    child.on("error", (err) => (this.#log += `${err}\n`));
    this.addresses = await until(
      `the gateway to be ready`,
      async () => {
        if (child.exitCode !== null) throw new Error(`the gateway ended with ${child.exitCode}:\n${this.#log}`);
        return JSON.parse(await readFile(file, "utf8").catch(() => "null"));
      },
      30000,
    ).catch((err) => {
      throw new Error(`${err.message}\n${this.#log}`);
    });
  }

  // end sends a signal and returns the exit code (null after a kill) when the
  // process is gone.
  async end(signal = "SIGTERM") {
    const child = this.#child;
    if (child === null) return null;
    this.#child = null;
    const gone = child.exitCode !== null || child.signalCode !== null;
    const exit = gone ? Promise.resolve() : new Promise((done) => child.once("exit", done));
    child.kill(signal);
    const hard = setTimeout(() => child.kill("SIGKILL"), 60000);
    await exit;
    clearTimeout(hard);
    started.delete(child);
    return child.exitCode;
  }

  // publish runs `belfry publish USER -` with the payload on standard input.
  async publish(user, payload) {
    const child = spawn(this.#built.binary, ["publish", "--data", this.data, user, "-"], { cwd: this.#built.folder, env });
    started.add(child);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text));
    const exit = new Promise((done, failed) => child.once("close", done).once("error", failed));
    child.stdin.end(payload);
    const code = await exit;
    started.delete(child);
    if (code !== 0) throw new Error(`belfry publish ended with ${code}:\n${output}`);
  }

  // ask has the example backend publish, as a program and not as a page.
  async ask(order) {
    const response = await fetch(new URL("demo/publish", this.url), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(order),
    });
    const body = await response.json();
    if (!response.ok) throw new Error(`publishing: HTTP ${response.status}: ${body.error}`);
    return body;
  }
}
