// Tests of the proxy and its server, both reactors on this thread, at every level: the suite of
// every device, and what only a proxy promises.

import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { MallocDevice, type MallocOptions } from "../devices/malloc.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { TEST_LEVELS, type TestReactor, withReactor } from "../reactor/test-reactor.ts";
import { runMix } from "../testing/proxy-load.ts";
import { openSecondReactor } from "../testing/second-reactor.ts";
import { AwaitedRequest } from "./awaited-request.ts";
import { deviceConformance } from "./conformance.ts";
import { Device } from "./device.ts";
import { EXTENT_COUNT_MAX, ExtentList } from "./extents.ts";
import { Operation, RequestFlag } from "./operation.ts";
import { openProxy } from "./proxy-device.ts";
import { serveDevice } from "./proxy-server.ts";
import { PROXY_IN_FLIGHT_MAX } from "./proxy-wire.ts";
import { Request } from "./request.ts";
import { STATUS_TRAITS, Status } from "./status.ts";

const MIB = 1024 * 1024;
const SIZE_BYTES = 16 * MIB;

function openMalloc(reactor: Reactor, extra: Partial<MallocOptions> = {}): Promise<MallocDevice> {
  const instanceId = "6b2b6a0e-6c0f-4b57-9a7e-000000000002";
  return MallocDevice.open(reactor, { name: "m", sizeBytes: SIZE_BYTES, instanceId, ...extra });
}

/** A device that keeps what it gets until it is told to end it. */
class HeldDevice extends Device {
  readonly held: Request[] = [];
  /** Of the segments of each request, as they arrived. */
  readonly seen: number[][] = [];

  constructor(model: Device) {
    super(model.reactor, model.info, model.operations);
  }

  protected override start(request: Request): void {
    const fields: number[] = [];
    for (let index = 0; index < request.segments.count; index++) {
      const { segments } = request;
      fields.push(segments.slabId(index), segments.offset(index), segments.length(index));
    }
    this.seen.push(fields);
    this.held.push(request);
  }

  protected override async release(): Promise<void> {}

  end(status: Status, errorOffset = -1): void {
    for (const request of this.held.splice(0)) {
      request.errorOffset = errorOffset;
      this.reactor.completions.push(request, status);
    }
  }
}

class CountedRequest extends Request {
  completions = 0;
  /** Of all requests of a test, in the order of their completion. */
  readonly order: CountedRequest[];

  constructor(order: CountedRequest[] = []) {
    super();
    this.order = order;
  }

  override complete(): void {
    this.completions++;
    this.order.push(this);
  }
}

function sleep(reactor: Reactor, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    reactor.clock.startTimer(delayMs, () => reactor.deliverLater(resolve));
  });
}

async function until(reactor: Reactor, condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(reactor, 0.1);
}

/** Time enough for what must not happen. */
function settle(reactor: Reactor): Promise<void> {
  return sleep(reactor, 2);
}

function read(request: Request, reactor: Reactor, length = 4096): void {
  const slab = reactor.io.slabs.allocate(length);
  request.operation = Operation.read;
  request.length = length;
  request.segments.clear();
  request.segments.push(slab.id, 0, length);
}

interface Pair {
  readonly owner: Reactor;
  readonly user: Reactor;
  readonly seed: number;
}

function atEachLevel(title: string, body: (pair: Pair) => Promise<void>): void {
  for (const level of TEST_LEVELS) {
    test(`${title}, at ${level}`, { timeout: 60_000 }, () =>
      withReactor(level, async (place) => {
        const owner = openSecondReactor(place);
        await body({ owner, user: place.reactor, seed: place.seed });
        await owner.io.close();
      }),
    );
  }
}

/** A malloc device on a second reactor, used from the test's one; closed as one. */
async function openMallocBehindProxy(
  place: TestReactor,
  extra: Partial<MallocOptions> = {},
): Promise<Device> {
  const owner = openSecondReactor(place);
  const malloc = await openMalloc(owner, extra);
  const server = serveDevice(owner, malloc);
  const proxy = openProxy(place.reactor, server.ticket);
  const closeProxy = () => Device.prototype.close.call(proxy);
  let closed: Promise<void> | null = null;
  const closeAll = async () => {
    await closeProxy();
    await server.over;
    await malloc.close();
    await owner.io.close();
  };
  proxy.close = () => {
    closed ??= closeAll();
    return closed;
  };
  return proxy;
}

deviceConformance("malloc behind a proxy", (place) => openMallocBehindProxy(place), {
  openReadOnly: (place) => openMallocBehindProxy(place, { readOnly: true }),
});

atEachLevel("a proxy mirrors the device and answers a mix of requests", async (pair) => {
  const device = await openMalloc(pair.owner);
  const server = serveDevice(pair.owner, device);
  const proxy = openProxy(pair.user, structuredClone(server.ticket));
  deepStrictEqual(proxy.info, { ...device.info, lendsReads: false });
  deepStrictEqual(proxy.operations, device.operations);
  await runMix(proxy, { seed: pair.seed, requests: 5_000, depth: 32 });
  await proxy.close();
  await server.over;
  await device.close();
});

atEachLevel("statuses, error offsets and large numbers arrive as they are", async (pair) => {
  const malloc = await openMalloc(pair.owner);
  const device = new HeldDevice(malloc);
  const large = 2 ** 52;
  Object.assign(device, { info: { ...malloc.info, sizeBytes: large } });
  const server = serveDevice(pair.owner, device);
  const proxy = openProxy(pair.user, server.ticket);
  for (const [status] of STATUS_TRAITS.entries()) {
    const request = new AwaitedRequest();
    const offset = large - 4096 * (status + 1);
    const what = { operation: Operation.discard, offset, length: 4096 * (status + 1) };
    const ended = request.run(proxy, what);
    await until(pair.user, () => device.held.length === 1);
    strictEqual(device.held[0]?.offset, offset);
    strictEqual(device.held[0]?.length, what.length);
    device.end(status as Status, offset + status);
    strictEqual(await ended, status);
    strictEqual(request.errorOffset, offset + status);
  }
  await proxy.close();
  await device.close();
  await malloc.close();
});

atEachLevel("256 segments and streams arrive as they are, and mayLend does not", async (pair) => {
  const malloc = await openMalloc(pair.owner);
  const device = new HeldDevice(malloc);
  const proxy = openProxy(pair.user, serveDevice(pair.owner, device).ticket);
  const slab = pair.user.io.slabs.allocate(MIB);
  const order: CountedRequest[] = [];
  // More than the ring holds at once: some wait for room, in their order.
  const requests = Array.from({ length: 100 }, () => new CountedRequest(order));
  const expected = requests.map((request, index) => {
    request.operation = Operation.read;
    request.flags = RequestFlag.mayLend | RequestFlag.background;
    request.stream = 2 ** 31 - 1 - index;
    request.length = 256 * 512;
    const fields: number[] = [];
    for (let piece = 0; piece < 256; piece++) {
      const offset = ((piece * 7 + index) % 2048) * 512;
      request.segments.push(slab.id, offset, 512);
      fields.push(slab.id, offset, 512);
    }
    proxy.submit(request);
    return fields;
  });
  await until(pair.user, () => device.held.length === 100);
  deepStrictEqual(device.seen, expected);
  ok(device.held.every(({ flags }) => flags === RequestFlag.background));
  const streams = device.held.map(({ stream }) => 2 ** 31 - 1 - stream);
  deepStrictEqual(streams, [...requests.keys()]);
  device.end(Status.ok);
  await until(pair.user, () => order.length === 100);
  deepStrictEqual(order, requests);
  await proxy.close();
  await malloc.close();
});

atEachLevel("more requests than slots wait in their order and none is lost", async (pair) => {
  const malloc = await openMalloc(pair.owner);
  const device = new HeldDevice(malloc);
  const proxy = openProxy(pair.user, serveDevice(pair.owner, device).ticket);
  const order: CountedRequest[] = [];
  const total = PROXY_IN_FLIGHT_MAX * 2 + 100;
  const requests = Array.from({ length: total }, () => new CountedRequest(order));
  for (const request of requests) {
    request.operation = Operation.flush;
    proxy.submit(request);
  }
  await until(pair.user, () => device.held.length === PROXY_IN_FLIGHT_MAX);
  await settle(pair.user);
  strictEqual(device.held.length, PROXY_IN_FLIGHT_MAX);
  while (order.length < total) {
    device.end(Status.ok);
    await settle(pair.user);
  }
  deepStrictEqual(order, requests);
  ok(requests.every(({ completions }) => completions === 1));
  await proxy.close();
  await malloc.close();
});

atEachLevel("extents beyond a record and a ring arrive whole", async (pair) => {
  const malloc = await openMalloc(pair.owner);
  const device = new HeldDevice(malloc);
  const proxy = openProxy(pair.user, serveDevice(pair.owner, device).ticket);
  const order: CountedRequest[] = [];
  const requests = Array.from({ length: 5 }, () => new CountedRequest(order));
  for (const request of requests) {
    request.operation = Operation.blockStatus;
    request.length = SIZE_BYTES;
    request.extents = new ExtentList();
    request.extents.push(512, 1);
    proxy.submit(request);
  }
  await until(pair.user, () => device.held.length === 5);
  for (const [which, request] of device.held.entries()) {
    for (let index = 0; index < EXTENT_COUNT_MAX; index++) {
      request.extents?.push(512 * (index + which + 1) * 2 ** 24, index % 2);
    }
  }
  const sent = device.held.map(({ extents }) => [extents?.lengths.slice(), extents?.flags.slice()]);
  device.end(Status.ok);
  await until(pair.user, () => order.length === 5);
  const got = requests.map(({ extents }) => [extents?.lengths, extents?.flags]);
  deepStrictEqual(got, sent);
  await proxy.close();
  await malloc.close();
});

atEachLevel("close waits for what is in flight, then tells the server", async (pair) => {
  const malloc = await openMalloc(pair.owner);
  const device = new HeldDevice(malloc);
  const server = serveDevice(pair.owner, device);
  const proxy = openProxy(pair.user, server.ticket);
  const request = new CountedRequest();
  read(request, pair.user);
  proxy.submit(request);
  await until(pair.user, () => device.held.length === 1);
  let closed = false;
  const closing = proxy.close().then(() => {
    closed = true;
  });
  await settle(pair.user);
  strictEqual(closed, false);
  device.end(Status.ok);
  await closing;
  strictEqual(request.completions, 1);
  await server.over;
  const late = new AwaitedRequest();
  strictEqual(await late.run(proxy, { operation: Operation.flush }), Status.notReady);
  await malloc.close();
});

atEachLevel("a device that closes first answers not-ready through its proxy", async (pair) => {
  const device = await openMalloc(pair.owner);
  const proxy = openProxy(pair.user, serveDevice(pair.owner, device).ticket);
  const request = new AwaitedRequest();
  strictEqual(await request.run(proxy, { operation: Operation.flush }), Status.ok);
  await device.close();
  strictEqual(await request.run(proxy, { operation: Operation.flush }), Status.notReady);
  await proxy.close();
});

atEachLevel("a server that closes ends what it has and refuses the rest", async (pair) => {
  const malloc = await openMalloc(pair.owner);
  const device = new HeldDevice(malloc);
  const server = serveDevice(pair.owner, device);
  const proxy = openProxy(pair.user, server.ticket);
  const [first, second] = [new CountedRequest(), new CountedRequest()];
  for (const request of [first, second]) read(request, pair.user);
  proxy.submit(first);
  await until(pair.user, () => device.held.length === 1);
  const closing = server.close();
  await settle(pair.user);
  proxy.submit(second);
  await until(pair.user, () => second.completions === 1);
  strictEqual(second.status, Status.notReady);
  device.end(Status.ok);
  await closing;
  await until(pair.user, () => first.completions === 1);
  strictEqual(first.status, Status.ok);
  await proxy.close();
  await malloc.close();
});

atEachLevel("a ticket is opened once, and not after its server has closed", async (pair) => {
  const device = await openMalloc(pair.owner);
  const server = serveDevice(pair.owner, device);
  const proxy = openProxy(pair.user, server.ticket);
  throws(() => openProxy(pair.user, server.ticket), { code: "not-ready", message: /in use/ });
  await proxy.close();
  const other = serveDevice(pair.owner, device);
  await other.close();
  throws(() => openProxy(pair.user, other.ticket), { code: "not-ready", message: /not served/ });
  await device.close();
});

test("openProxy refuses a ticket of a reactor with other slabs", () =>
  withReactor("fake", async ({ reactor }) => {
    const server = serveDevice(reactor, await openMalloc(reactor));
    await withReactor("fake", async (elsewhere) => {
      elsewhere.reactor.io.slabs.allocate(SIZE_BYTES * 2);
      throws(() => openProxy(elsewhere.reactor, server.ticket), { code: "assertion-failed" });
    });
  }));
