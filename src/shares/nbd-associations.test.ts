// Tests of hosts that come back to an NBD export: safety rule 4, through real sockets.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FileDevice } from "../devices/file.ts";
import { Command, Option } from "../proto/nbd/constants.ts";
import { hostQuery } from "../proto/nbd/private-context.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import { clientFlags, goData, metaContextData, option, request } from "../testing/nbd-bytes.ts";
import { NbdRawClient } from "../testing/nbd-raw-client.ts";
import { RawSocket } from "../testing/raw-socket.ts";
import { openMalloc, serveExport, SOCKET_LEVELS, stopExport } from "../testing/served-export.ts";
import { makeTempDir } from "../testing/temp-dir.ts";

const TIMEOUT = { timeout: 110_000 };
const HOST = "00000000-0000-4000-8000-00000000000a";

function formOf(number: number): NonNullable<Parameters<typeof NbdRawClient.open>[1]> {
  return { metaContexts: [hostQuery({ host: HOST, number })] };
}

for (const level of SOCKET_LEVELS) {
  test(`a host comes back while its earlier connection works, at ${level}`, TIMEOUT, (t) =>
    withReactor(level, async (place) => {
      const path = `${makeTempDir(t)}/vol.img`;
      const device = await FileDevice.open(place.reactor, { path, sizeBytes: 8 * 1024 * 1024 });
      const served = await serveExport(place, device);
      let before = await NbdRawClient.open(served.uri, formOf(1));
      for (let number = 2; number < 6; number++) {
        for (let index = 0; index < 64; index++) {
          void before.command({ command: Command.flush });
        }
        const client = await NbdRawClient.open(served.uri, formOf(number));
        assert.equal((await client.read(0, 512)).length, 512);
        await before.raw.closed;
        before = client;
      }
      await before.disconnect();
      await stopExport(served);
    }),
  );

  test(`a host that is late is refused, at ${level}`, TIMEOUT, () =>
    withReactor(level, async (place) => {
      const served = await serveExport(place, await openMalloc(place));
      const client = await NbdRawClient.open(served.uri, formOf(7));
      const late = await NbdRawClient.open(served.uri, formOf(6)).catch(() => null);
      await late?.raw.closed;
      assert.equal((await client.read(0, 512)).length, 512);
      await client.disconnect();
      await stopExport(served);
    }),
  );

  test(`a host's first commands come with GO, at ${level}`, TIMEOUT, () =>
    withReactor(level, async (place) => {
      const served = await serveExport(place, await openMalloc(place));
      const before = await NbdRawClient.open(served.uri, formOf(1));
      const raw = await RawSocket.connect(served.uri);
      await raw.read(18);
      const query = hostQuery({ host: HOST, number: 2 });
      await raw.write(
        Buffer.concat([
          clientFlags(3),
          option(Option.structuredReply),
          option(Option.setMetaContext, metaContextData("vol", [query])),
          option(Option.go, goData("vol")),
          request({ command: Command.flush, cookie: 9 }),
        ]),
      );
      // Acknowledged: structured replies, the query, information about the export, GO.
      await raw.read(20 + 20 + 32 + 20);
      const reply = await raw.read(20);
      assert.equal(reply.readUInt32BE(12), 9);
      await before.raw.closed;
      await raw.write(request({ command: Command.disconnect, cookie: 10 }));
      await raw.closed;
      await stopExport(served);
    }),
  );
}
