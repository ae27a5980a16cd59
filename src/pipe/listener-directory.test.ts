// Tests of the directory of listeners: who listens, who is told of which export, who ends it.

import { deepStrictEqual, rejects, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import type { ExportDescription } from "../proto/nbd/export-description.ts";
import type { SocketAddress } from "../reactor/io.ts";
import { PenstockError } from "../util/errors.ts";
import { ListenerDirectory } from "./listener-directory.ts";
import type { RemoteReactor } from "./reactor-pool.ts";
import type { SharePlan } from "./share-plan.ts";
import type { ShareAnnouncement } from "./shares/share-service.ts";

const ADDRESS: SocketAddress = { kind: "tcp", host: "127.0.0.1", port: 7 };

/** Writes down what it is asked; `busy` refuses to listen. */
function reactorOf(id: number, log: string[], busy = false): RemoteReactor {
  const call = async (method: string, params: Record<string, unknown>): Promise<unknown> => {
    const { announcement } = params as { announcement?: ShareAnnouncement };
    const name = announcement?.kind === "nbd" ? ` ${announcement.description.name}` : "";
    log.push(`${id} ${method}${name}`);
    if (method !== "listen") return undefined;
    if (busy) throw new PenstockError({ code: "address-in-use", message: "busy" });
    const { address } = params as { address: SocketAddress };
    return address.kind === "tcp" && address.port === 0 ? { ...address, port: 4242 } : address;
  };
  return { id, call: call as RemoteReactor["call"] };
}

function announced(name: string): ShareAnnouncement {
  return { kind: "nbd", description: { name } as ExportDescription };
}

function share(exportName: string, address = ADDRESS): SharePlan {
  const rest = { description: "", readOnly: false, maxConnections: undefined };
  return { kind: "nbd", address, exportName, ...rest };
}

test("enter listens once per address, and announces only what lives elsewhere", async () => {
  const log: string[] = [];
  const directory = new ListenerDirectory();
  const [first, second] = [reactorOf(0, log), reactorOf(1, log)];
  const [a, b] = await Promise.all([
    directory.enter(share("a"), first),
    directory.enter(share("b"), second),
  ]);
  await a.announce(announced("a"));
  await b.announce(announced("b"));
  throws(() => directory.checkFree(share("a")), { code: "export-exists" });
  await rejects(directory.enter(share("b"), first), { code: "export-exists" });
  await a.leave();
  await b.leave();
  await b.leave();
  deepStrictEqual(log, ["0 listen", "0 addRemoteShare b", "0 removeRemoteShare b", "0 unlisten"]);
  await directory.enter(share("a"), second);
  strictEqual(log.at(-1), "1 listen");
});

test("enter gives each share a listener of its own when any port will do", async () => {
  const log: string[] = [];
  const directory = new ListenerDirectory();
  const free: SocketAddress = { kind: "tcp", host: "127.0.0.1", port: 0 };
  const one = await directory.enter(share("a", free), reactorOf(0, log));
  await directory.enter(share("a", free), reactorOf(0, log));
  deepStrictEqual(one.address, { kind: "tcp", host: "127.0.0.1", port: 4242 });
  deepStrictEqual(log, ["0 listen", "0 listen"]);
});

test("enter forgets the address when it cannot be listened on", async () => {
  const log: string[] = [];
  const directory = new ListenerDirectory();
  const busy = reactorOf(0, log, true);
  await rejects(directory.enter(share("a"), busy), { code: "address-in-use" });
  directory.checkFree(share("a"));
  await directory.enter(share("a"), reactorOf(0, log));
});

test("enter waits for the end of the listener that was there, on whatever reactor", async () => {
  const log: string[] = [];
  const directory = new ListenerDirectory();
  const [first, second] = [reactorOf(0, log), reactorOf(1, log)];
  let endUnlisten: () => void = () => undefined;
  const slow = async (...call: Parameters<RemoteReactor["call"]>): Promise<unknown> => {
    const [method, params] = call;
    const answer = await first.call(method, params);
    if (method === "unlisten") {
      await new Promise<void>((resolve) => {
        endUnlisten = resolve;
      });
    }
    return answer;
  };
  const place = await directory.enter(share("a"), { id: 0, call: slow as RemoteReactor["call"] });
  const left = place.leave();
  const next = directory.enter(share("b"), second);
  const other = directory.enter(share("c"), first);
  await new Promise((resolve) => setImmediate(resolve));
  deepStrictEqual(log, ["0 listen", "0 unlisten"]);
  endUnlisten();
  await Promise.all([left, next, other]);
  deepStrictEqual(log, ["0 listen", "0 unlisten", "1 listen"]);
});
