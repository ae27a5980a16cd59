// Tests of the fake network: segmentation, back-pressure, resets, pauses, cuts, ends of processes.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../util/prng.ts";
import { Errno } from "../errno.ts";
import { connectWithin } from "../connect-within.ts";
import { ADDRESS, ConnectionRig } from "./connection-rig.ts";
import { FakeWorld } from "./fake-world.ts";

const MIB = 1024 * 1024;

function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  new Prng("network").fill(bytes);
  return bytes;
}

test("bytes arrive in order, cut anywhere, in both directions", async () => {
  let receiptCount = 0;
  let sendCount = 0;
  for (let seed = 0; seed < 10; seed++) {
    const { client, server, world } = await ConnectionRig.open(seed);
    const data = noise(200_000);
    server.receive();
    client.receive();
    client.send(data);
    server.send(data.subarray(0, 100_000));
    await world.run();
    deepStrictEqual(Uint8Array.from(server.received), data);
    deepStrictEqual(Uint8Array.from(client.received), data.subarray(0, 100_000));
    receiptCount += server.receipts.length;
    sendCount += client.sends.length;
  }
  ok(receiptCount > 20, `${receiptCount} receipts`);
  ok(sendCount > 12, `${sendCount} sends`);
});

test("other seeds cut otherwise, one seed always alike", async () => {
  const cuts = async (seed: number) => {
    const { client, server, world } = await ConnectionRig.open(seed);
    server.receive();
    for (let round = 0; round < 5; round++) {
      client.send(noise(10_000));
      await world.run();
    }
    return server.receipts.join();
  };
  strictEqual(await cuts(5), await cuts(5));
  const many = new Set(await Promise.all([1, 2, 3, 4, 5, 6].map(cuts)));
  ok(many.size > 3);
});

test("a sender waits when nobody reads, and goes on when somebody does", async () => {
  const pair = await ConnectionRig.open(2);
  const { client, server, world } = pair;
  pair.connection.pause("to-client");
  const data = noise(MIB);
  client.send(data);
  await world.run();
  const sent = client.sends.reduce((sum, count) => sum + count, 0);
  strictEqual(sent, world.network.socketBufferBytes);
  server.receive();
  await world.run();
  deepStrictEqual(Uint8Array.from(server.received), data);
});

test("a paused direction holds its bytes, the other goes on", async () => {
  const pair = await ConnectionRig.open(3);
  const { client, server, world, connection } = pair;
  server.receive();
  client.receive();
  connection.pause("to-server");
  client.send(noise(100));
  server.send(noise(50));
  await world.run();
  strictEqual(server.received.length, 0);
  strictEqual(client.received.length, 50);
  connection.resume("to-server");
  await world.run();
  strictEqual(server.received.length, 100);
});

test("shutdown gives the peer all bytes and then the end", async () => {
  const pair = await ConnectionRig.open(4);
  const { client, server, world } = pair;
  client.receive();
  client.send(noise(5000));
  await world.run();
  client.io.shutdownSocket(client.socket);
  client.io.shutdownSocket(client.socket);
  server.receive();
  await world.run();
  strictEqual(server.received.length, 5000);
  strictEqual(server.receipts.at(-1), 0);
  deepStrictEqual(client.receipts, [0]);
  client.send(noise(1));
  await world.run();
  strictEqual(client.sends.at(-1), -Errno.EPIPE);
});

test("a reset ends what is in flight at both ends", async () => {
  const pair = await ConnectionRig.open(5);
  const { client, server, world } = pair;
  client.receive();
  server.receive();
  await world.run();
  pair.connection.reset();
  await world.run();
  deepStrictEqual(client.receipts, [-Errno.ECONNRESET]);
  deepStrictEqual(server.receipts, [-Errno.ECONNRESET]);
  client.send(noise(10));
  await world.run();
  deepStrictEqual(client.sends, [-Errno.ECONNRESET]);
});

test("closing with unread bytes resets, without them ends", async () => {
  for (const unread of [0, 10]) {
    const { client, server, world } = await ConnectionRig.open(6);
    if (unread > 0) client.send(noise(unread));
    await world.run();
    client.receive();
    server.io.closeSocket(server.socket);
    await world.run();
    deepStrictEqual(client.receipts, [unread > 0 ? -Errno.ECONNRESET : 0]);
  }
});

test("sending to a closed peer is answered with a reset", async () => {
  const { client, server, world } = await ConnectionRig.open(7);
  server.io.closeSocket(server.socket);
  client.send(noise(10));
  await world.run();
  client.send(noise(10));
  await world.run();
  strictEqual(client.sends.at(-1), -Errno.ECONNRESET);
});

test("a black hole swallows everything without a word", async () => {
  const pair = await ConnectionRig.open(8);
  const { client, server, world } = pair;
  client.receive();
  server.receive();
  pair.connection.blackHole();
  client.send(noise(10));
  pair.b.kill();
  await world.run({ untilMs: 3_600_000 });
  deepStrictEqual(client.receipts, []);
  strictEqual(
    client.sends.reduce((sum, count) => sum + count, 0),
    10,
  );
  client.cancelReceive();
  await world.run();
  deepStrictEqual(client.receipts, [-Errno.ECANCELED]);
});

test("a killed process ends its connections and frees its address", async () => {
  const { world, a, b, client } = await ConnectionRig.open(9);
  client.receive();
  b.kill();
  await world.run();
  deepStrictEqual(client.receipts, [0]);
  await rejects(world.runUntil(a.io.connect(ADDRESS)), { code: "connection-refused" });
  const next = world.process({ host: "node-b" });
  await world.runUntil(next.io.listen(ADDRESS, () => {}));
  await world.runUntil(a.io.connect(ADDRESS));
});

test("a host without power says nothing until it is spoken to", async () => {
  const { world, client } = await ConnectionRig.open(10);
  client.receive();
  world.powerLoss("node-b");
  await world.run({ untilMs: 60_000 });
  deepStrictEqual(client.receipts, []);
  client.send(noise(10));
  await world.run();
  deepStrictEqual(client.receipts, [-Errno.ECONNRESET]);
});

test("a cut holds bytes and connections, in one direction or both, until it heals", async () => {
  for (const oneWay of [true, false]) {
    const { world, a, client, server } = await ConnectionRig.open(11);
    client.receive();
    server.receive();
    world.network.cut("node-a", "node-b", oneWay);
    client.send(noise(10));
    server.send(noise(10));
    const connecting = a.io.connect(ADDRESS);
    await world.run({ untilMs: world.nowMs + 1000 });
    strictEqual(server.received.length, 0);
    strictEqual(client.received.length, oneWay ? 10 : 0);
    world.network.heal("node-a", "node-b");
    await world.runUntil(connecting);
    await world.run();
    strictEqual(server.received.length, 10);
    strictEqual(client.received.length, 10);
  }
});

test("connecting gives up when the cut lasts", async () => {
  const { world, a } = await ConnectionRig.open(12);
  world.network.cut("node-b", "node-a", true);
  const before = world.nowMs;
  await rejects(world.runUntil(a.io.connect(ADDRESS)), { code: "connection-timeout" });
  ok(world.nowMs - before >= 10_000);
});

test("loopback and Unix paths are each host's own", async () => {
  const { world, a, b } = await ConnectionRig.open(13);
  const unix = { kind: "unix", path: "/run/x" } as const;
  const loopback = { kind: "tcp", host: "127.0.0.1", port: 1 } as const;
  for (const address of [unix, loopback]) {
    const listener = await world.runUntil(b.io.listen(address, () => {}));
    await rejects(world.runUntil(a.io.connect(address)), { code: "connection-refused" });
    await world.runUntil(b.io.connect(address));
    await rejects(world.runUntil(b.io.listen(address, () => {})), { code: "address-in-use" });
    await listener.close();
    await rejects(world.runUntil(b.io.connect(address)), { code: "connection-refused" });
  }
  await world.runUntil(b.io.listen({ ...loopback, host: "0.0.0.0", port: 2 }, () => {}));
  await world.runUntil(a.io.connect({ ...loopback, host: "node-b", port: 2 }));
});

test("connecting to a host that is cut off ends when given up, or after its limit", async () => {
  const world = new FakeWorld({ seed: 11 });
  const near = world.process({ host: "near" });
  const far = world.process({ host: "far" });
  let accepted = 0;
  const run = async (): Promise<void> => {
    const address = { kind: "tcp", host: "far", port: 7 } as const;
    await far.io.listen(address, () => accepted++);
    world.network.cut("near", "far");
    await rejects(connectWithin(near.io, address, 100), { code: "connection-timeout" });
    const signal = new AbortController();
    near.io.clock.startTimer(10, () => signal.abort());
    await rejects(connectWithin(near.io, address, 100, signal.signal), { code: "aborted" });
    ok(world.nowMs < 120, `${world.nowMs} ms`);
    world.network.heal("near", "far");
    near.io.closeSocket(await connectWithin(near.io, address, 100));
    strictEqual(accepted, 1);
  };
  await world.runUntil(run());
});
