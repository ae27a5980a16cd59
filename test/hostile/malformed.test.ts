/**
 * Wrong bytes in every state of the protocol: the connection ends, or the request gets an error,
 * and nobody else notices.
 */

import assert from "node:assert/strict";

import {
  Command,
  CommandFlag,
  InfoType,
  NbdError,
  Option,
  OptionReply,
  SIMPLE_REPLY_MAGIC,
} from "../../src/proto/nbd/constants.ts";
import { checkHealth } from "../../src/testing/health-probe.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import {
  clientFlags,
  goData,
  metaContextData,
  option,
  request,
  uint16,
  uint32,
} from "../../src/testing/nbd-bytes.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { NbdRawHandshake, type RawClientOptions } from "../../src/testing/nbd-raw-handshake.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { RawSocket } from "../../src/testing/raw-socket.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { Prng } from "../../src/util/prng.ts";

/** Given bytes that can't be right, a server answers or closes at once, it doesn't wait. */
const CLOSE_MS_MAX = 15_000;
const FIXED = 3;
const HTTP = Buffer.from("GET / HTTP/1.1\r\nHost: penstock\r\n\r\n".repeat(8));
/** A TLS 1.3 ClientHello's first bytes. */
const TLS = Buffer.from(`16030100c8010000c40303${"5a".repeat(256)}`, "hex");

/** Bytes after the server's greeting that end the connection. */
const CLOSING: Readonly<Record<string, Buffer>> = {
  "unknown client flags": clientFlags(0xffff_ffff),
  "HTTP instead of flags": HTTP,
  "TLS instead of flags": TLS,
  "zeroes instead of an option": Buffer.concat([clientFlags(FIXED), Buffer.alloc(256)]),
  "HTTP instead of an option": Buffer.concat([clientFlags(FIXED), HTTP]),
  "an option without fixed newstyle": Buffer.concat([clientFlags(0), option(Option.list)]),
  "a wrong magic after a right option": Buffer.concat([
    clientFlags(FIXED),
    option(Option.structuredReply),
    Buffer.alloc(16, 0xff),
  ]),
  "an option of 4 GiB": Buffer.concat([clientFlags(FIXED), optionHeader(Option.go, 0xffff_ffff)]),
  "an unknown option of 2 GiB": Buffer.concat([
    clientFlags(FIXED),
    optionHeader(0x7777, 0x8000_0000),
  ]),
  "an unknown export by EXPORT_NAME": Buffer.concat([
    clientFlags(FIXED),
    option(Option.exportName, Buffer.from("nobody")),
  ]),
  "an endless name by EXPORT_NAME": Buffer.concat([
    clientFlags(FIXED),
    option(Option.exportName, Buffer.alloc(70_000, "n")),
  ]),
  abort: Buffer.concat([clientFlags(FIXED), option(Option.abort)]),
};

/** Options that get an error reply, after which the handshake goes on. */
const REFUSED_OPTIONS: readonly (readonly [string, number, Buffer])[] = [
  ["unknown", 0x1234, Buffer.alloc(0)],
  ["unknown with data", 0xffff_ffff, Buffer.alloc(1000, 7)],
  ["zero", 0, Buffer.alloc(0)],
  ["peek export", Option.peekExport, Buffer.from("vol")],
  ["start TLS", Option.startTls, Buffer.alloc(0)],
  ["start TLS with data", Option.startTls, Buffer.alloc(9)],
  ["list with data", Option.list, Buffer.from("x")],
  ["structured reply with data", Option.structuredReply, Buffer.alloc(4)],
  ["extended headers with data", Option.extendedHeaders, Buffer.alloc(4)],
  ["GO without data", Option.go, Buffer.alloc(0)],
  ["GO of an unknown export", Option.go, goData("nobody")],
  ["GO with a name beyond the data", Option.go, Buffer.concat([uint32(1000), uint16(0)])],
  ["GO with a name of 4 GiB", Option.go, Buffer.concat([uint32(0xffff_ffff), uint16(0)])],
  ["GO with more types than data", Option.go, Buffer.concat([uint32(0), uint16(9)])],
  ["GO with bytes left", Option.go, Buffer.concat([goData("vol"), Buffer.alloc(1)])],
  ["GO with a zero byte in the name", Option.go, goData("v\0l")],
  ["INFO of bad UTF-8", Option.info, badName()],
  ["INFO with 65,535 types in 64 KiB", Option.info, Buffer.alloc(65_600)],
  ["meta context without structured replies", Option.setMetaContext, metaContextData("vol", [])],
  ["meta context cut short", Option.setMetaContext, metaContextData("vol", ["a"]).subarray(0, 9)],
  ["meta context with a huge count", Option.listMetaContext, hugeQueryCount()],
  ["meta context of nobody", Option.listMetaContext, metaContextData("nobody", [])],
  ["option of 20 MiB", Option.info, Buffer.alloc(20 * 2 ** 20)],
];

interface BadCommand {
  readonly what: string;
  readonly fields: Parameters<NbdRawClient["command"]>[0];
  readonly errors: readonly number[];
  readonly session?: RawClientOptions;
}

const { einval, enospc, eperm, enotsup, eoverflow, enomem } = NbdError;
const EXTENDED: RawClientOptions = { replies: "extended", metaContexts: ["base:allocation"] };
const HUGE_OFFSET = 2n ** 64n - 512n;
const HUGE_LENGTH = 2n ** 63n;

/** Commands with an error reply, after which the session goes on. */
const REFUSED_COMMANDS: readonly BadCommand[] = [
  { what: "unknown", fields: { command: 99 }, errors: [einval] },
  { what: "resize", fields: { command: Command.resize, offset: 1024 }, errors: [einval] },
  { what: "0xffff", fields: { command: 0xffff, length: 512 }, errors: [einval] },
  {
    what: "a read of 4 GiB",
    fields: { command: Command.read, length: 0xffff_ffff },
    errors: [einval, enomem, eoverflow],
  },
  {
    what: "a read at the end of numbers",
    fields: { command: Command.read, offset: HUGE_OFFSET, length: 1024 },
    errors: [einval],
  },
  {
    what: "a write at the end of numbers",
    fields: {
      command: Command.write,
      offset: HUGE_OFFSET,
      length: 1024,
      payload: Buffer.alloc(1024),
    },
    errors: [enospc, einval],
  },
  {
    what: "unknown flags of a read",
    fields: { command: Command.read, flags: 0x8000, length: 512 },
    errors: [einval],
  },
  {
    what: "unknown flags of a write",
    fields: { command: Command.write, flags: 0x4000, length: 512, payload: Buffer.alloc(512) },
    errors: [einval],
  },
  {
    what: "flags of other commands",
    fields: { command: Command.read, flags: CommandFlag.noHole, length: 512 },
    errors: [einval],
  },
  {
    what: "fast zero of a trim",
    fields: { command: Command.trim, flags: CommandFlag.fastZero, length: 512 },
    errors: [einval],
  },
  {
    what: "a flush with a range",
    fields: { command: Command.flush, offset: 512, length: 512 },
    errors: [einval, 0],
  },
  {
    what: "block status without a context",
    fields: { command: Command.blockStatus, length: 4096 },
    errors: [einval],
  },
  {
    what: "block status of nothing",
    fields: { command: Command.blockStatus, length: 0 },
    errors: [einval],
    session: { metaContexts: ["base:allocation"] },
  },
  {
    what: "zeroes of 4 GiB",
    fields: { command: Command.writeZeroes, length: 0xffff_ffff },
    errors: [enospc],
  },
  {
    what: "an extended read of 8 EiB",
    fields: { command: Command.read, length: HUGE_LENGTH },
    errors: [einval, eoverflow, enomem],
    session: EXTENDED,
  },
  {
    what: "extended zeroes of 8 EiB",
    fields: { command: Command.writeZeroes, length: HUGE_LENGTH },
    errors: [enospc, einval],
    session: EXTENDED,
  },
  {
    what: "an extended trim that wraps around",
    fields: { command: Command.trim, offset: HUGE_OFFSET, length: 2n ** 64n - 1n },
    errors: [einval],
    session: EXTENDED,
  },
  {
    what: "an extended cache of 2^53 bytes",
    fields: { command: Command.cache, length: 2n ** 53n },
    errors: [einval, enotsup, eperm],
    session: EXTENDED,
  },
];

/** Bytes in a session after which nobody can tell where the next request starts. */
const SESSION_ENDING: Readonly<Record<string, Buffer>> = {
  "a wrong magic": request({ command: Command.read, cookie: 1, length: 512, magic: 0x25609514 }),
  "the magic of a reply": request({ command: 0, cookie: 1, magic: SIMPLE_REPLY_MAGIC }),
  "an extended header in a compact session": request({ command: 0, cookie: 1 }, true),
  zeroes: Buffer.alloc(64),
  HTTP,
  TLS,
  "a second handshake": Buffer.concat([
    clientFlags(FIXED),
    option(Option.list),
    option(Option.go, goData("vol")),
  ]),
  "requests, then a wrong magic": Buffer.concat([
    request({ command: Command.write, cookie: 1, length: 512 }),
    Buffer.alloc(512),
    request({ command: Command.read, cookie: 2, length: 65536 }),
    request({ command: Command.flush, cookie: 3, magic: 1 }),
  ]),
};

forEachLevel("malformed bytes end one request or one connection", {}, async (t, level) => {
  const pipe = "malloc:///m?size=16MiB | nbd://127.0.0.1:0/vol";
  const { uri } = await startPenstock(t, pipe, { level });
  const prng = new Prng(testSeed(t));

  for (const [what, bytes] of Object.entries(CLOSING)) {
    await t.test(`handshake: ${what}`, async () => {
      const raw = await RawSocket.connect(uri);
      await raw.write(bytes);
      await raw.readToEnd(CLOSE_MS_MAX);
      await checkHealth(uri, prng);
    });
  }

  await t.test("options that are refused", async () => {
    const handshake = new NbdRawHandshake(await RawSocket.connect(uri));
    await handshake.greet();
    for (const [what, type, data] of REFUSED_OPTIONS) {
      const reply = (await handshake.option(type, data)).at(-1)?.type ?? 0;
      assert.ok(reply >= OptionReply.errUnsup, `${what}: reply ${reply.toString(16)}`);
    }
    const client = new NbdRawClient(handshake.raw, await handshake.negotiate("vol"));
    await client.write(0, Buffer.alloc(512, 1));
    await client.disconnect();
  });

  await t.test("commands that are refused", async () => {
    for (const { what, fields, errors, session } of REFUSED_COMMANDS) {
      const client = await NbdRawClient.open(uri, session);
      const { error } = await client.command(fields);
      assert.ok(errors.includes(error), `${what}: error ${error}`);
      await client.write(512, Buffer.alloc(512, 2));
      assert.ok((await client.read(512, 512)).equals(Buffer.alloc(512, 2)), what);
      await client.disconnect();
    }
  });

  await t.test("a write longer than any payload", async () => {
    const client = await NbdRawClient.open(uri);
    const answer = client.command({ command: Command.write, length: 0xffff_ffff });
    // Either it is refused at once, or nobody wants to receive 4 GiB.
    const error = await answer.then(
      (answered) => answered.error,
      () => einval,
    );
    assert.ok(error === einval || error === enospc || error === eoverflow, `error ${error}`);
    client.raw.destroy();
    await checkHealth(uri, prng);
  });

  for (const replies of ["simple", "structured"] as const) {
    for (const [what, bytes] of Object.entries(SESSION_ENDING)) {
      await t.test(`session with ${replies} replies: ${what}`, async () => {
        const handshake = new NbdRawHandshake(await RawSocket.connect(uri));
        await handshake.greet();
        if (replies === "structured") {
          await handshake.option(Option.structuredReply);
        }
        await handshake.option(Option.go, goData("vol", [InfoType.blockSize]));
        await handshake.raw.write(bytes);
        await handshake.raw.readToEnd(CLOSE_MS_MAX);
        await checkHealth(uri, prng);
      });
    }
  }
});

function optionHeader(type: number, length: number): Buffer {
  const bytes = option(type, Buffer.alloc(0));
  bytes.writeUInt32BE(length, 12);
  return bytes;
}

function badName(): Buffer {
  return Buffer.concat([uint32(2), Buffer.from([0xff, 0xfe]), uint16(0)]);
}

function hugeQueryCount(): Buffer {
  return Buffer.concat([uint32(3), Buffer.from("vol"), uint32(0xffff_ffff)]);
}
