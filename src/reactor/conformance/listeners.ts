/**
 * Conformance of an Io: listening, connecting, and peers that are not ours. Each function is one
 * test.
 */

import { ok, rejects, strictEqual } from "node:assert/strict";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { createServer, type Server, type Socket } from "node:net";

import { Errno } from "../errno.ts";
import { connectWithin } from "../connect-within.ts";
import type { SocketAddress } from "../io.ts";
import { connectPair, listen } from "./connections.ts";
import type { Harness } from "./harness.ts";

const LOCAL: SocketAddress = { kind: "tcp", host: "127.0.0.1", port: 0 };
/** Of a network that is reserved for documentation. spec: RFC 5737 */
const FOREIGN_HOST = "203.0.113.77";

/** Of five milliseconds each, for what comes as soon as the machine gets to it. */
const ROUNDS_MAX = 4000;

const ignore = (): void => undefined;

export async function portZeroBecomesRealPort(h: Harness): Promise<void> {
  const one = await listen(h, LOCAL, ignore);
  const other = await listen(h, LOCAL, ignore);
  ok(one.address.kind === "tcp" && other.address.kind === "tcp");
  strictEqual(one.address.host, "127.0.0.1");
  ok(one.address.port > 0 && one.address.port !== other.address.port);
}

export async function addressInUseIsNamed(h: Harness): Promise<void> {
  const { address } = await listen(h, LOCAL, ignore);
  ok(address.kind === "tcp");
  await rejects(listen(h, address, ignore), {
    code: "address-in-use",
    message: new RegExp(`127\\.0\\.0\\.1:${address.port}`),
  });
}

export async function closedListenerFreesItsAddress(h: Harness): Promise<void> {
  let accepted = 0;
  const first = await listen(h, LOCAL, () => accepted++);
  await Promise.all([first.close(), first.close()]);
  await first.close();
  await rejects(h.io.connect(first.address), { code: "connection-refused" });
  const second = await listen(h, first.address, (socket) => h.end(socket));
  h.end(await h.io.connect(second.address));
  await h.sleep(5);
  strictEqual(accepted, 0);
}

export async function connectionsOutliveTheirListener(h: Harness): Promise<void> {
  const { client, server } = await connectPair(h, LOCAL);
  strictEqual(await client.send(new Uint8Array([9])), 1);
  strictEqual(await server.receive(10), 1);
}

export async function connectingCanBeGivenUp(h: Harness): Promise<void> {
  const before = new AbortController();
  before.abort();
  const listener = await listen(h, LOCAL, (socket) => h.end(socket));
  await rejects(h.io.connect(listener.address, before.signal), { code: "aborted" });
  for (const delayMs of [0, 0, 0.02, 0.05, 0.2, 1]) {
    const during = new AbortController();
    const connecting = h.io.connect(listener.address, during.signal);
    // Either is right; what must not be is a socket that nobody has.
    const ended = connecting.then(
      (socket) => void h.end(socket),
      (error: unknown) => strictEqual((error as { code?: string }).code, "aborted"),
    );
    if (delayMs > 0) await h.sleep(delayMs);
    during.abort();
    await ended;
  }
  const after = new AbortController();
  const client = h.end(await h.io.connect(listener.address, after.signal));
  after.abort();
  strictEqual(await client.send(new Uint8Array([7])), 1);
}

/** A stopped process, with room for few that it has not accepted: the next one hears nothing. */
export async function silenceEndsAfterTheLimit(h: Harness): Promise<void> {
  const script =
    'const s = require("node:net").createServer(() => undefined);' +
    's.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => console.log(s.address().port));';
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  h.after(async () => void child.kill("SIGKILL"));
  const port = await new Promise<number>((resolve) => {
    child.stdout.once("data", (line: Buffer) => resolve(Number(line.toString())));
  });
  child.kill("SIGSTOP");
  // It stops a moment later.
  const status = `/proc/${child.pid}/status`;
  while (!/^State:\s+T/m.test(readFileSync(status, "utf8"))) await h.sleep(1);
  const address: SocketAddress = { kind: "tcp", host: "127.0.0.1", port };
  const crowd = Array.from({ length: 5 }, () =>
    connectWithin(h.io, address, 300).then(
      (socket) => void h.end(socket),
      (error: unknown) => error,
    ),
  );
  const errors = (await Promise.all(crowd)).filter((error) => error !== undefined);
  ok(errors.length > 0, "all were accepted");
  for (const error of errors) {
    strictEqual((error as { code?: string }).code, "connection-timeout");
  }
}

export async function acceptTellsThePeer(h: Harness): Promise<void> {
  let peer = "";
  const listener = await listen(h, LOCAL, (socket, from) => {
    h.end(socket);
    peer = from;
  });
  h.end(await h.io.connect(listener.address));
  for (let round = 0; peer === "" && round < ROUNDS_MAX; round++) await h.sleep(5);
  ok(peer.length > 0);
}

export async function badAddressesAreNamed(h: Harness): Promise<void> {
  await rejects(listen(h, { kind: "tcp", host: FOREIGN_HOST, port: 0 }, ignore), {
    code: "address-invalid",
    message: new RegExp(`cannot listen on ${FOREIGN_HOST}`),
  });
  await rejects(listen(h, { kind: "tcp", host: "nobody.invalid", port: 0 }, ignore), {
    message: /cannot listen on nobody\.invalid/,
  });
}

export async function badUnixPathsAreNamed(h: Harness): Promise<void> {
  for (const path of [h.path("x".repeat(120)), h.path("no-such-folder/socket"), ""]) {
    await rejects(listen(h, { kind: "unix", path }, ignore), (error: unknown) => {
      const { code, message } = error as { code: string; message: string };
      strictEqual(code, "address-invalid", path);
      ok(message.includes(path));
      return true;
    });
  }
}

export async function nobodyThereIsRefused(h: Harness): Promise<void> {
  const listener = await listen(h, LOCAL, ignore);
  await listener.close();
  await rejects(h.io.connect(listener.address), { code: "connection-refused" });
}

export async function missingUnixSocketIsRefused(h: Harness): Promise<void> {
  const path = h.path("nobody");
  await rejects(h.io.connect({ kind: "unix", path }), (error: unknown) => {
    ok(/^(connection-refused|address-invalid)$/.test((error as { code: string }).code));
    ok((error as Error).message.includes(path));
    return true;
  });
}

export async function liveUnixSocketIsInUse(h: Harness): Promise<void> {
  const address: SocketAddress = { kind: "unix", path: h.path("live") };
  const listener = await listen(h, address, (socket) => h.end(socket));
  await rejects(listen(h, address, ignore), { code: "address-in-use", message: /live/ });
  h.end(await h.io.connect(listener.address));
}

export async function unixSocketIsUnlinkedAtClose(h: Harness): Promise<void> {
  const path = h.path("short-lived");
  const listener = await listen(h, { kind: "unix", path }, ignore);
  ok(existsSync(path));
  await listener.close();
  ok(!existsSync(path));
}

/** A dead listener's socket file: renamed, so that its maker does not unlink it. */
export async function staleUnixSocketIsReplaced(h: Harness): Promise<void> {
  const path = h.path("stale");
  const dead = await listen(h, { kind: "unix", path: h.path("dying") }, ignore);
  renameSync(h.path("dying"), path);
  await dead.close();
  ok(existsSync(path));
  const listener = await listen(h, { kind: "unix", path }, (socket) => h.end(socket));
  h.end(await h.io.connect(listener.address));
}

/** Whatever lies at the path and is not a socket is somebody's data. */
export async function ordinaryFileIsNotReplaced(h: Harness): Promise<void> {
  const path = h.path("precious");
  writeFileSync(path, "data");
  await rejects(listen(h, { kind: "unix", path }, ignore), (error: unknown) =>
    /^address-(in-use|invalid)$/.test((error as { code: string }).code),
  );
  strictEqual(readFileSync(path, "utf8"), "data");
}

/** A reset ends a receive in flight, later ones, and sends sooner or later. */
export async function peersResetEndsEverything(h: Harness): Promise<void> {
  let peer: Socket | null = null;
  const server = createServer((socket) => {
    peer = socket;
    socket.on("error", ignore);
  });
  const port = await listenNode(server);
  h.after(() => {
    server.close();
  });
  const end = h.end(await h.io.connect({ kind: "tcp", host: "127.0.0.1", port }));
  const receiving = end.receive(4096);
  for (let round = 0; peer === null && round < ROUNDS_MAX; round++) await h.sleep(5);
  (peer as Socket | null)?.resetAndDestroy();
  const first = await receiving;
  ok(first === -Errno.ECONNRESET || first === 0, `result ${first}`);
  const second = await end.receive(4096);
  ok(second === -Errno.ECONNRESET || second === 0, `result ${second}`);
  let sent = 0;
  for (let round = 0; sent >= 0 && round < 100; round++) sent = await end.send(new Uint8Array(9));
  ok(sent === -Errno.EPIPE || sent === -Errno.ECONNRESET, `result ${sent}`);
}

function listenNode(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen({ host: "127.0.0.1", port: 0 }, () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
}
