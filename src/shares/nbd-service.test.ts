// Tests of the NBD service in this process, through real sockets: random programs against a dumb
// model in every reply form, the smallest pool, hand-over between reactors, limits and draining.

import assert from "node:assert/strict";
import { test } from "node:test";
import { PromiseDevice } from "../block/promise-device.ts";
import { FileDevice } from "../devices/file.ts";
import { NbdDevice } from "../devices/nbd.ts";
import { MallocDevice } from "../devices/malloc.ts";
import { ClientFlag, Command, CommandFlag, NbdError, Option } from "../proto/nbd/constants.ts";
import type { SocketAddress } from "../reactor/io.ts";
import { TEST_LEVELS, type TestReactor, withReactor } from "../reactor/test-reactor.ts";
import { clientFlags, goData, option, request } from "../testing/nbd-bytes.ts";
import { openingId } from "../testing/nbd-pair.ts";
import { NbdRawClient } from "../testing/nbd-raw-client.ts";
import { RawSocket } from "../testing/raw-socket.ts";
import { openSecondReactor } from "../testing/second-reactor.ts";
import { settles } from "../testing/settles.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { Prng } from "../util/prng.ts";
import { NbdService } from "./nbd-service.ts";

type RawClientOptions = NonNullable<Parameters<typeof NbdRawClient.open>[1]>;

const SIZE_BYTES = 8 * 1024 * 1024;
const ANY_PORT: SocketAddress = { kind: "tcp", host: "127.0.0.1", port: 0 };
const LEVELS = TEST_LEVELS.filter((level) => level !== "fake");
const FORMS: readonly RawClientOptions[] = [
  { replies: "simple" },
  { replies: "structured", metaContexts: ["base:allocation"] },
  { replies: "extended", metaContexts: ["base:allocation"] },
];
const NO_HAND_OFF = {
  handOff: () => assert.fail("nothing is handed off"),
};
const PROGRAM_STEPS = process.env.PENSTOCK_LONG === "1" ? 5000 : 250;

interface Served {
  readonly service: NbdService;
  readonly uri: string;
  readonly address: SocketAddress;
  readonly device: MallocDevice | FileDevice;
}

async function serve(
  { reactor }: TestReactor,
  device: MallocDevice | FileDevice,
  limits = {},
): Promise<Served> {
  const service = new NbdService(reactor, NO_HAND_OFF);
  const address = await service.listen(ANY_PORT, limits);
  service.addExport(address, device, { name: "vol" });
  assert.ok(address.kind === "tcp");
  return { service, address, device, uri: `nbd://127.0.0.1:${address.port}/vol` };
}

function malloc({ reactor }: TestReactor): Promise<MallocDevice> {
  const instanceId = "00000000-0000-4000-8000-000000000001";
  return MallocDevice.open(reactor, { name: "vol", sizeBytes: SIZE_BYTES, instanceId });
}

async function stop({ service, device }: Served): Promise<void> {
  await service.close();
  await device.close();
}

/** One client's random commands on its own part of the device, checked against a dumb array. */
async function program(
  uri: string,
  form: RawClientOptions,
  part: number,
  seed: number,
): Promise<void> {
  const client = await NbdRawClient.open(uri, form);
  const random = new Prng(seed).fork(`client ${part}`);
  const base = part * 2 * 1024 * 1024;
  const model = Buffer.alloc(2 * 1024 * 1024);
  const fresh = await client.read(base, model.length);
  fresh.copy(model);
  for (let step = 0; step < PROGRAM_STEPS; step++) {
    const length =
      1 + random.below(random.chance(0.1) ? 1_500_000 : random.chance(0.5) ? 70_000 : 900);
    const offset = random.below(model.length - length);
    const grid = random.chance(0.5) ? 512 : 1;
    const range = {
      offset: base + offset - (offset % grid),
      length: Math.max(grid, length - (length % grid)),
    };
    const at = range.offset - base;
    const flags = random.chance(0.2) ? CommandFlag.fua : 0;
    const what = random.below(10);
    if (what < 4) {
      const data = await client.read(range.offset, range.length);
      assert.equal(Buffer.compare(data, model.subarray(at, at + range.length)), 0, `step ${step}`);
    } else if (what < 8) {
      const payload = Buffer.alloc(range.length, random.below(256));
      await client.write(range.offset, payload, flags);
      payload.copy(model, at);
    } else if (what === 8) {
      const answer = await client.command({ command: Command.writeZeroes, ...range, flags });
      assert.equal(answer.error, 0);
      model.fill(0, at, at + range.length);
    } else if (form.metaContexts !== undefined) {
      const { error, extents } = await client.command({ command: Command.blockStatus, ...range });
      assert.equal(error, 0);
      let covered = 0;
      for (const [bytes, state] of extents) {
        const end = Math.min(at + covered + bytes, at + range.length);
        const isZero = model.subarray(at + covered, end).every((byte) => byte === 0);
        assert.ok((state & 2) === 0 || isZero, `step ${step}: a zero extent that is not zero`);
        covered += bytes;
      }
      assert.ok(covered > 0 && covered <= range.length);
    }
  }
  const all = await client.read(base, model.length);
  assert.equal(Buffer.compare(all, model), 0);
  await client.disconnect();
}

for (const level of LEVELS) {
  test(`NbdService agrees with a dumb model, at ${level}`, { timeout: 120_000 }, (t) =>
    withReactor(level, async (place) => {
      const folder = makeTempDir(t);
      const path = `${folder}/vol.img`;
      for (const open of [
        () => malloc(place),
        () => FileDevice.open(place.reactor, { path, sizeBytes: SIZE_BYTES }),
      ]) {
        const served = await serve(place, await open());
        // The reserves of the share and of the device.
        const { heldBytes } = place.reactor.buffers;
        await Promise.all(FORMS.map((form, part) => program(served.uri, form, part, place.seed)));
        assert.equal(place.reactor.buffers.heldBytes, heldBytes, "all but the reserves is back");
        await stop(served);
      }
    }),
  );

  test(`NbdService goes on with the smallest pool, at ${level}`, { timeout: 120_000 }, () =>
    withReactor(
      level,
      async (place) => {
        const path = `${makeTempDir({ after: () => undefined })}/vol.img`;
        const device = await FileDevice.open(place.reactor, { path, sizeBytes: SIZE_BYTES });
        const served = await serve(place, device);
        const clients = await Promise.all(
          [...FORMS, ...FORMS].map((form) => NbdRawClient.open(served.uri, form)),
        );
        // 6 clients x 12 requests of up to 3 MiB with 2 MiB of buffers, all at once.
        const work = clients.flatMap((client, index) =>
          Array.from({ length: 12 }, async (_, round) => {
            const length = 1 + ((index * 7 + round * 13) % 24) * 131_071;
            await client.write(0, Buffer.alloc(length, 5));
            return (await client.read(0, length)).length;
          }),
        );
        await Promise.all(work);
        assert.ok(place.reactor.buffers.allocatedBytes <= 2 * 1024 * 1024);
        for (const client of clients) await client.disconnect();
        await stop(served);
      },
      { bufferLimitBytes: 2 * 1024 * 1024 },
    ),
  );

  test(`NbdService writes though idle clients have all the windows, at ${level}`, () =>
    withReactor(
      level,
      async (place) => {
        const served = await serve(place, await malloc(place));
        const first = await NbdRawClient.open(served.uri);
        const idle: NbdRawClient[] = [];
        // 1 MiB beside the reserve is 256 windows of 4 KiB; then nobody is let in any more.
        while (idle.length < 255) idle.push(await NbdRawClient.open(served.uri));
        const late = await RawSocket.connect(served.uri);
        await late.closed;
        for (const length of [4096, 12_288, 16_384, 65_536]) {
          await first.write(0, Buffer.alloc(length, 3));
          assert.equal((await first.read(0, length)).at(-1), 3);
        }
        for (const client of [first, ...idle]) await client.disconnect();
        await stop(served);
      },
      { bufferLimitBytes: 2 * 1024 * 1024 },
    ));

  test(`NbdService answers what is refused, and goes on, at ${level}`, () =>
    withReactor(level, async (place) => {
      const served = await serve(place, await malloc(place));
      for (const form of FORMS) {
        const client = await NbdRawClient.open(served.uri, form);
        const payload = Buffer.alloc(1024);
        const cases = [
          [{ command: Command.read, offset: SIZE_BYTES - 512, length: 1024 }, NbdError.einval],
          [{ command: Command.read, offset: 0, length: 0 }, NbdError.einval],
          [{ command: Command.read, offset: 2n ** 63n, length: 512 }, NbdError.einval],
          [{ command: Command.write, offset: SIZE_BYTES, length: 1024, payload }, NbdError.enospc],
          [{ command: Command.writeZeroes, offset: SIZE_BYTES, length: 512 }, NbdError.enospc],
          [{ command: Command.trim, offset: 0, length: 512, flags: 64 }, NbdError.einval],
          [{ command: 99, offset: 0, length: 512 }, NbdError.einval],
        ] as const;
        for (const [fields, error] of cases) {
          const answer = await client.command(fields);
          assert.equal(
            answer.error,
            error,
            JSON.stringify(fields, (_, v) => `${v}`),
          );
        }
        assert.equal((await client.read(0, 512)).length, 512);
        await client.disconnect();
      }
      await stop(served);
    }));

  test(`NbdService turns clients away beyond its limits, at ${level}`, () =>
    withReactor(level, async (place) => {
      const served = await serve(place, await malloc(place), { maxConnectionsPerPeer: 2 });
      const first = await NbdRawClient.open(served.uri);
      const second = await NbdRawClient.open(served.uri);
      const third = await RawSocket.connect(served.uri);
      await third.closed;
      await first.disconnect();
      await second.read(0, 512);
      await (await NbdRawClient.open(served.uri)).disconnect();
      await second.disconnect();
      await stop(served);
    }));

  test(`NbdService ends a handshake that does not, at ${level}`, () =>
    withReactor(level, async (place) => {
      const served = await serve(place, await malloc(place), { handshakeMsMax: 50 });
      const silent = await RawSocket.connect(served.uri);
      await silent.closed;
      await stop(served);
    }));

  test(`NbdService answers what is in flight before it closes, at ${level}`, () =>
    withReactor(level, async (place) => {
      const served = await serve(place, await malloc(place));
      const client = await NbdRawClient.open(served.uri);
      const answers = Array.from({ length: 64 }, (_, index) =>
        client.write(index * 4096, Buffer.alloc(4096, index)),
      );
      const settled = Promise.allSettled(answers);
      await answers[0];
      await served.service.close();
      const ends = await settled;
      const done = ends.flatMap((end, index) => (end.status === "fulfilled" ? [index] : []));
      const device = new PromiseDevice(served.device);
      for (const index of done) {
        assert.equal((await device.readAt(index * 4096, 4096))[0], index);
      }
      await device.close();
    }));
}

test("NbdService refuses a pool without room for more than its reserve", () =>
  withReactor(
    "fake",
    async ({ reactor }) => {
      assert.throws(() => new NbdService(reactor, NO_HAND_OFF), {
        code: "no-memory",
        message: /1048576.*2097152/,
      });
    },
    { bufferLimitBytes: 1024 * 1024 },
  ));

for (const level of LEVELS.filter((each) => each !== "portable")) {
  test(`NbdService hands a connection over, first commands and all, at ${level}`, () =>
    withReactor(level, async (place) => {
      const other = openSecondReactor(place);
      const owner = new NbdService(other, NO_HAND_OFF);
      const listener = new NbdService(place.reactor, {
        handOff: (toReactor, message) => {
          assert.equal(toReactor, 1);
          // As between workers: plain values only.
          owner.adopt(structuredClone(message));
        },
      });
      const address = await listener.listen(ANY_PORT);
      assert.ok(address.kind === "tcp");
      const device = await MallocDevice.open(other, {
        name: "vol",
        sizeBytes: SIZE_BYTES,
        instanceId: "00000000-0000-4000-8000-000000000001",
      });
      const exported = owner.addExport(address, device, { name: "vol" });
      listener.addRemoteExport(address, exported.description, 1);
      const raw = await RawSocket.connect(`nbd://127.0.0.1:${address.port}/vol`);
      const payload = Buffer.alloc(4096, 0x5a);
      await raw.read(18);
      // GO and the first commands in one segment.
      await raw.write(
        Buffer.concat([
          clientFlags(ClientFlag.fixedNewstyle | ClientFlag.noZeroes),
          option(Option.go, goData("vol")),
          request({ command: Command.write, cookie: 1, offset: 4096, length: 4096 }),
          payload,
          request({ command: Command.read, cookie: 2, offset: 4096, length: 4096 }),
          request({ command: Command.disconnect, cookie: 3 }),
        ]),
      );
      const bytes = await raw.readToEnd();
      assert.equal(Buffer.compare(bytes.subarray(-4096), payload), 0);
      assert.equal(exported.stats.writes, 1);
      await settles(
        () => exported.stats.connections === 0,
        () => `${exported.stats.connections} connections`,
      );
      await listener.close();
      await owner.close();
      await device.close();
      await other.io.close();
    }));
}

test("NbdService finds exports that were added before it listens", () =>
  withReactor("fake", async (rig) => {
    const address = { kind: "tcp", host: "127.0.0.1", port: 7 } as const;
    const service = new NbdService(rig.reactor, NO_HAND_OFF);
    const device = await malloc(rig);
    service.addExport(address, device, { name: "vol" });
    await service.listen(address);
    const options = { address, exportName: "vol", name: "nbd://vol", openingId: openingId() };
    const initiator = await NbdDevice.open(rig.reactor, options);
    await initiator.close();
    await stop({ service, device, address, uri: "" });
  }));
