/**
 * Conformance of an Io: bytes over sockets. Each function is one test, for each kind of address.
 */

import { ok, strictEqual } from "node:assert/strict";

import { Errno } from "../errno.ts";
import type { SocketAddress } from "../io.ts";
import { connectPair, listen, Pattern, receiveStream, sendStream } from "./connections.ts";
import type { Harness } from "./harness.ts";
import { END_BYTES_MAX, type SocketEnd } from "./socket-end.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
/** More than both kernels' buffers of a connection ever take. */
const UNREAD_BYTES_MAX = 64 * MIB;
/** What an Io itself may hold of one connection, generously. */
const MEMORY_GROWTH_MAX = 8 * MIB;

export async function echoesAnySegmentation(h: Harness, address: SocketAddress): Promise<void> {
  const { client, server } = await connectPair(h, address);
  const totalBytes = 400 * KIB;
  const pattern = new Pattern("echo");
  const stream = { pattern, from: 0, totalBytes, stepBytesMax: 9000, rangesMax: 64 };
  await Promise.all([
    sendStream(h, client, stream),
    echo(server),
    receiveStream(h, client, stream).then(() => client.shutdown()),
  ]);
}

async function echo(end: SocketEnd): Promise<void> {
  for (;;) {
    const length = await end.receiveRanges(20_000, 7);
    if (length <= 0) return;
    const bytes = end.received(length);
    strictEqual(await end.send(bytes, 3), length);
  }
}

/** A request of one byte and a reply of one byte, with nothing else to hurry them. */
export async function smallMessagesArriveAlone(h: Harness, address: SocketAddress): Promise<void> {
  const { client, server } = await connectPair(h, address);
  for (let round = 0; round < 100; round++) {
    strictEqual(await client.send(new Uint8Array([round])), 1);
    strictEqual(await server.receive(4096), 1);
    strictEqual(server.received(1)[0], round);
    strictEqual(await server.send(new Uint8Array([255 - round])), 1);
    strictEqual(await client.receiveRanges(4096, 5), 1);
    strictEqual(client.received(1)[0], 255 - round);
  }
}

export async function carriesBothWaysAtOnce(h: Harness, address: SocketAddress): Promise<void> {
  const { client, server } = await connectPair(h, address);
  const there = { pattern: new Pattern("there"), from: 0, totalBytes: 10 * MIB };
  const back = { pattern: new Pattern("back"), from: 0, totalBytes: 10 * MIB };
  const large = { stepBytesMax: END_BYTES_MAX, rangesMax: 64 };
  await Promise.all([
    sendStream(h, client, { ...there, ...large }),
    receiveStream(h, server, { ...there, ...large }),
    sendStream(h, server, { ...back, ...large }),
    receiveStream(h, client, { ...back, stepBytesMax: 64 * KIB, rangesMax: 8 }),
  ]);
}

/** All data, then 0, and 0 again. */
export async function peersEndComesAfterData(h: Harness, address: SocketAddress): Promise<void> {
  const { client, server } = await connectPair(h, address);
  const pattern = new Pattern("end");
  const stream = { pattern, from: 0, totalBytes: 100 * KIB, stepBytesMax: 30_000, rangesMax: 4 };
  await sendStream(h, client, stream);
  await client.close();
  await receiveStream(h, server, stream);
  strictEqual(await server.receive(4096), 0);
  strictEqual(await server.receiveRanges(4096, 3), 0);
}

export async function peersEndEndsReceive(h: Harness, address: SocketAddress): Promise<void> {
  const { client, server } = await connectPair(h, address);
  const receiving = server.receive(4096);
  await client.close();
  strictEqual(await receiving, 0);
}

export async function cancelledReceiveLosesNothing(
  h: Harness,
  address: SocketAddress,
): Promise<void> {
  const { client, server } = await connectPair(h, address);
  const totalBytes = 300 * KIB;
  const pattern = new Pattern("cancel");
  const sending = (async () => {
    for (let done = 0; done < totalBytes; ) {
      const length = Math.min(1 + h.prng.below(8000), totalBytes - done);
      strictEqual(await client.send(pattern.at(done, length), 3), length);
      done += length;
      if (h.prng.chance(0.3)) await h.sleep(0.1);
    }
  })();
  let cancelled = 0;
  for (let done = 0; done < totalBytes; ) {
    const receiving = server.receive(1 + h.prng.below(10_000));
    const when = h.prng.below(4);
    if (when === 0) server.cancelReceive();
    else if (when === 1) h.io.defer(() => server.cancelReceive());
    const result = await receiving;
    if (result === -Errno.ECANCELED) {
      cancelled++;
      continue;
    }
    ok(result > 0, `result ${result}`);
    pattern.check(done, server.received(result));
    done += result;
  }
  await sending;
  ok(cancelled > 0, "no receive was cancelled");
}

/** Without data there is nothing else that a cancelled receive could end with. */
export async function cancelEndsIdleReceive(h: Harness, address: SocketAddress): Promise<void> {
  const { client, server } = await connectPair(h, address);
  const receiving = server.receive(4096);
  await h.sleep(5);
  server.cancelReceive();
  server.cancelReceive();
  strictEqual(await receiving, -Errno.ECANCELED);
  server.cancelReceive();
  strictEqual(await client.send(new Uint8Array([1, 2, 3])), 3);
  // Any non-empty beginning of the bytes may come at once.
  let received = 0;
  while (received < 3) received += await server.receive(2);
  strictEqual(received, 3);
}

export async function shutdownEndsReceive(h: Harness, address: SocketAddress): Promise<void> {
  const { client, server } = await connectPair(h, address);
  const here = server.receive(4096);
  const there = client.receive(4096);
  server.shutdown();
  server.shutdown();
  const result = await here;
  ok(result <= 0, `result ${result}`);
  strictEqual(await there, 0);
  ok((await server.send(new Uint8Array(10))) < 0, "sending after the shutdown fails");
  ok((await server.receive(10)) <= 0);
}

/** The peer gets all that was sent and the end behind it, and can still answer. */
export async function endEndsSendsOnly(h: Harness, address: SocketAddress): Promise<void> {
  const { client, server } = await connectPair(h, address);
  strictEqual(await server.send(new Uint8Array(1000)), 1000);
  server.end();
  let received = 0;
  while (received < 1000) received += await client.receive(4096);
  strictEqual(await client.receive(4096), 0);
  strictEqual(await client.send(new Uint8Array(3)), 3);
  ok((await server.receive(10)) > 0, "receives go on");
  ok((await server.send(new Uint8Array(10))) < 0, "sending after the end fails");
}

/** The reader takes one byte and stops: the sender is pushed back and nothing piles up. */
export async function unreadBytesPushBack(h: Harness, address: SocketAddress): Promise<void> {
  const { client, server } = await connectPair(h, address);
  const pattern = new Pattern("unread");
  const memoryBefore = memoryBytes();
  let sentBytes = 0;
  let isStuck = false;
  let lastMs = h.io.clock.nowMs();
  const sending = (async () => {
    while (!isStuck) {
      ok(sentBytes < UNREAD_BYTES_MAX, "the sender is never pushed back");
      strictEqual(await client.send(pattern.at(sentBytes, MIB)), MIB);
      sentBytes += MIB;
      lastMs = h.io.clock.nowMs();
    }
  })();
  strictEqual(await server.receive(1), 1);
  while (h.io.clock.nowMs() - lastMs < 200) await h.sleep(20);
  isStuck = true;
  const growth = memoryBytes() - memoryBefore;
  ok(growth < MEMORY_GROWTH_MAX, `memory has grown by ${growth} bytes`);
  const totalBytes = sentBytes + MIB - 1;
  const large = { stepBytesMax: MIB, rangesMax: 3 };
  await receiveStream(h, server, { pattern, from: 1, totalBytes, ...large });
  await sending;
}

export async function shutdownEndsSend(h: Harness, address: SocketAddress): Promise<void> {
  const { client, server } = await connectPair(h, address);
  let result = 0;
  let sends = 0;
  const sending = (async () => {
    for (const bytes = new Uint8Array(MIB); result >= 0 && sends < 64; sends++) {
      result = await client.send(bytes);
    }
  })();
  await h.sleep(200);
  client.shutdown();
  await sending;
  ok(result < 0, "the send that waited for its reader ends with an error");
  await server.close();
}

export async function servesManyConnectionsAtOnce(
  h: Harness,
  address: SocketAddress,
): Promise<void> {
  // Every day one kind of address meets the crowd, the others a group.
  const isCrowd = process.env.PENSTOCK_LONG === "1" || isIpv4(address);
  const count = isCrowd ? 200 : 40;
  const echoes: Promise<void>[] = [];
  const listener = await listen(h, address, (socket) => {
    const end = h.end(socket);
    echoes.push(echo(end).then(() => end.close()));
  });
  const clients = Array.from({ length: count }, async (_, index) => {
    const end = h.end(await h.io.connect(listener.address));
    const pattern = new Pattern(`connection ${index}`);
    for (let from = 0; from < 12_000; from += 4000) {
      const stream = { pattern, from, totalBytes: 4000, stepBytesMax: 3000, rangesMax: 3 };
      await Promise.all([sendStream(h, end, stream), receiveStream(h, end, stream)]);
    }
    await end.close();
  });
  await Promise.all(clients);
  await Promise.all(echoes);
  strictEqual(echoes.length, count);
}

function isIpv4(address: SocketAddress): boolean {
  return address.kind === "tcp" && !address.host.includes(":");
}

function memoryBytes(): number {
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  return arrayBuffers + heapUsed;
}
