/** Finds a TCP port of 127.0.0.1 that nobody listens on, for servers that need to be told one. */

import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/** Below those that Linux gives to whoever takes any port: nobody has it by chance meanwhile. */
const PORT_MIN = 20_000;
const PORT_LIMIT = 32_000;
const TRIES_MAX = 100;

/** It was free a moment ago: whoever takes it should be quick. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    const port = randomInt(PORT_MIN, PORT_LIMIT);
    if (await isFree(port)) return port;
  }
  throw new Error(`${TRIES_MAX} ports from ${PORT_MIN} to ${PORT_LIMIT - 1} are all in use`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const isListening = await new Promise<boolean>((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => resolve(true));
  });
  if (isListening) await new Promise((resolve) => server.close(resolve));
  return isListening;
}
