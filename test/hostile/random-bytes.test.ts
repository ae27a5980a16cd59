/**
 * Garbage: pure noise in each state, and valid sessions with some bytes changed. A probe on another
 * export of the same server keeps its data meanwhile.
 */

import { InfoType, Option } from "../../src/proto/nbd/constants.ts";
import { checkHealth, HealthProbe } from "../../src/testing/health-probe.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { clientFlags, goData, option } from "../../src/testing/nbd-bytes.ts";
import { validCommands, validSession } from "../../src/testing/nbd-valid-session.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { RawSocket } from "../../src/testing/raw-socket.ts";
import { changed, noise, shuffled } from "../../src/testing/spoilt-bytes.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { Prng } from "../../src/util/prng.ts";

const SESSION_COUNT = forLongRun(1500, 30_000);
const AT_ONCE = 16;
/** A spoilt length makes the server wait for more, so the client has to end it. */
const PATIENCE_MS = 30;

const FLAGS = clientFlags(3);
const GO = option(Option.go, goData("vol", [InfoType.blockSize]));

forEachLevel("random bytes", { timeoutMs: forLongRun(120, 1800) * 1000 }, async (t, level) => {
  const pipes = [
    "malloc:///victim?size=1MiB | nbd://127.0.0.1:0/vol",
    "malloc:///other?size=1MiB | nbd://127.0.0.1:0/other",
  ];
  const server = await startPenstock(t, pipes, { level });
  const prng = new Prng(testSeed(t));
  const probe = await HealthProbe.open(server.uris[1] ?? "", prng.fork("probe"));
  const probing = probe.run();
  for (let done = 0; done < SESSION_COUNT; done += AT_ONCE) {
    const sessions = Array.from({ length: AT_ONCE }, () => spoiltSession(prng));
    await Promise.all(sessions.map((bytes) => send(server.uri, bytes)));
  }
  probe.stop();
  await probing;
  await checkHealth(server.uri, prng);
  await checkHealth(server.uris[1] ?? "", prng);
});

function spoiltSession(prng: Prng): Buffer {
  const valid = validSession("vol");
  switch (prng.below(6)) {
    case 0:
      return noise(prng);
    case 1:
      return Buffer.concat([FLAGS, noise(prng)]);
    case 2:
      return Buffer.concat([FLAGS, GO, noise(prng)]);
    case 3:
      return Buffer.concat([FLAGS, GO, ...shuffled(validCommands(), prng)]);
    case 4:
      return changed(valid, prng);
    default:
      // Right magics around it keep noise from being thrown away at its first byte.
      return Buffer.concat([
        valid.subarray(0, prng.below(valid.length)),
        noise(prng),
        valid.subarray(prng.below(valid.length)),
      ]);
  }
}

async function send(uri: string, bytes: Buffer): Promise<void> {
  const raw = await RawSocket.connect(uri);
  await raw.write(bytes);
  await raw.readToEnd(PATIENCE_MS).catch(() => undefined);
  raw.destroy();
  await raw.closed;
}
