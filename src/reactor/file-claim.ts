/**
 * FileClaim: names who holds a file for writing, to whoever wants it too.
 *
 * A listening socket in Linux's abstract namespace, called after the medium's identity: binding it
 * is atomic, it goes away with its process whatever kills that, and it answers each connection
 * with the holder's name. It keeps two levels (with and without file locks) apart as well.
 * Network namespaces separate such names: where there is FFI, a lock on the file comes on top.
 */

import { createConnection, createServer, type Server } from "node:net";
import { PenstockError, toPenstockError } from "../util/errors.ts";

const ANSWER_BYTES_MAX = 512;
const ANSWER_MS_MAX = 500;

export class FileClaim {
  readonly #server: Server;

  /**
   * @param identity of the medium, as in `OpenedFile`
   * @throws PenstockError `claimed`, naming the holder; Error: the system's own
   */
  static async take(identity: string, path: string, holder: string): Promise<FileClaim> {
    const server = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      socket.end(`${holder} (process ${process.pid})`);
    });
    const name = socketName(identity);
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(name, resolve);
      });
    } catch (thrown) {
      if (toPenstockError(thrown).code === "system-eaddrinuse") {
        throw await claimedError(identity, path);
      }
      // Out of descriptors, for example: nobody else has it.
      throw thrown;
    }
    server.unref();
    return new FileClaim(server);
  }

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Gives the claim up. */
  release(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
    });
  }
}

/** The error for a medium that somebody else holds; asks the holder for its name. */
export async function claimedError(identity: string, path: string): Promise<PenstockError> {
  const holder = await askHolder(identity);
  return new PenstockError({
    code: "claimed",
    message: `${path} is in use by ${holder ?? "another process"}`,
    retryable: true,
    details: { path, holder },
  });
}

/** The holder's own words, or null when nobody of ours answers. */
export function askHolder(identity: string): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = createConnection(socketName(identity));
    let answer = "";
    const finish = (): void => {
      socket.destroy();
      resolve(answer === "" ? null : answer);
    };
    socket.setTimeout(ANSWER_MS_MAX, finish);
    socket.on("data", (data) => {
      answer = (answer + data.toString("utf8")).slice(0, ANSWER_BYTES_MAX);
    });
    socket.on("error", finish);
    socket.on("end", finish);
  });
}

function socketName(identity: string): string {
  return `\0penstock-claim-${identity}`;
}
