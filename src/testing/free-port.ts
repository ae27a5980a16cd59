/** Finds a TCP port of 127.0.0.1 that nobody listens on, for servers that need to be told one. */

import { createServer } from "node:net";

/** It was free a moment ago: whoever takes it should be quick. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") {
    throw new Error("a listening TCP server has a port");
  }
  return address.port;
}
