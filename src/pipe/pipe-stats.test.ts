// Tests of what reactors tell of their pipes: stages, children, shares, latency, and of themselves.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type TestContext, test } from "node:test";
import { chooseLevel } from "../reactor/open-io.ts";
import { cleanUp } from "../testing/cleanup.ts";
import { NbdRawClient } from "../testing/nbd-raw-client.ts";
import { PipeHost } from "./pipe-host.ts";
import type { Placement } from "./placement.ts";
import type { ReactorStats } from "./reactor-protocol.ts";

const BLOCK_BYTES = 4096;
const LONG_BYTES = 4 * 2 ** 20;

/** At two reactors where the machine has more than the portable level. */
const LEVEL = await chooseLevel("auto");
const HAS_TWO = LEVEL !== "portable";

async function startHost(t: TestContext, placement: Placement): Promise<PipeHost> {
  const bugs: string[] = [];
  const host = await PipeHost.start({
    level: LEVEL,
    reactors: placement === "apart" ? 2 : 1,
    placement,
    makeUuid: randomUUID,
    onFatal: (stack) => bugs.push(stack),
  });
  cleanUp(t, async () => {
    deepStrictEqual(await host.close(), []);
    deepStrictEqual(bugs, []);
  });
  return host;
}

const MIRROR = "mirror(malloc:///a?size=8MiB, malloc:///b?size=8MiB | limit)";
const TEXT = `${MIRROR} | log#watch?level=error | nbd://127.0.0.1:0/m`;

/** Processor time, turns, one connection; and that one pipe can be asked for. */
async function checkReactors(
  host: PipeHost,
  id: number,
  reactors: readonly ReactorStats[],
): Promise<void> {
  strictEqual(
    reactors.reduce((open, { connections }) => open + connections, 0),
    1,
  );
  for (const { cpuMs, turns } of reactors) ok(cpuMs > 0 && turns > 0);
  const [only] = await host.reactorStats(id);
  strictEqual(only?.pipes.length, 1);
  const [none] = await host.reactorStats(id + 1);
  strictEqual(none?.pipes.length, 0);
}

for (const placement of HAS_TWO ? (["together", "apart"] as const) : (["together"] as const)) {
  test(`stages, children and the share are counted, ${placement}`, async (t) => {
    const host = await startHost(t, placement);
    const { id, uri } = await host.open(TEXT);
    const client = await NbdRawClient.open(uri);
    await client.write(0, Buffer.alloc(BLOCK_BYTES, 1));
    await client.write(BLOCK_BYTES, Buffer.alloc(BLOCK_BYTES, 2));
    await client.read(0, BLOCK_BYTES);
    await client.flush();

    const reactors = await host.reactorStats();
    const [pipe, ...others] = host.pipeStats(reactors);
    ok(pipe !== undefined);
    deepStrictEqual(others, []);
    const { stats } = pipe;
    deepStrictEqual(
      stats.stages.map(({ id, kind }) => [id, kind]),
      [
        ["1.1.1", "malloc"],
        ["1.2.1", "malloc"],
        ["1.2.2", "limit"],
        ["1", "mirror"],
        ["watch", "log"],
      ],
    );
    const top = stats.stages.at(-1);
    deepStrictEqual(top?.counts, {
      reads: 1,
      writes: 2,
      others: 1,
      readBytes: BLOCK_BYTES,
      writeBytes: 2 * BLOCK_BYTES,
      otherBytes: 0,
      errors: 0,
    });
    strictEqual(top.latency.count, 1);
    strictEqual(top.inFlight, 0);
    const children = stats.stages.find(({ kind }) => kind === "mirror")?.children ?? [];
    deepStrictEqual(
      children.map(({ child, name, state, writes, writeBytes }) => [
        child,
        name,
        state,
        writes,
        writeBytes,
      ]),
      [
        [1, "malloc:///a?size=8MiB", "in-sync", 2, 2 * BLOCK_BYTES],
        [2, "malloc:///b?size=8MiB | limit", "in-sync", 2, 2 * BLOCK_BYTES],
      ],
    );
    strictEqual(
      children.reduce((reads, child) => reads + child.reads, 0),
      1,
    );
    strictEqual(stats.share?.connections, 1);
    strictEqual(stats.share.reads, 1);
    // A reply has been counted by the time that the next command's reply is here.
    strictEqual(stats.shareLatency?.writes.count, 2);
    strictEqual(stats.shareLatency.reads.count, 1);

    await checkReactors(host, id, reactors);
    await client.disconnect();
    await host.closePipe(id);
    deepStrictEqual(host.pipeStats(await host.reactorStats()), []);
  });
}

test("a read in many parts is one command in the share's latency", async (t) => {
  const host = await startHost(t, "together");
  const { uri } = await host.open("malloc:///a?size=8MiB | nbd://127.0.0.1:0/m");
  for (const replies of ["simple", "structured", "extended"] as const) {
    const client = await NbdRawClient.open(uri, { replies });
    await client.write(0, Buffer.alloc(LONG_BYTES, 1));
    await client.read(0, LONG_BYTES);
    await client.flush();
    await client.disconnect();
  }
  const [pipe] = host.pipeStats(await host.reactorStats());
  const { share, shareLatency, stages } = pipe?.stats ?? {};
  strictEqual(share?.reads, 3);
  strictEqual(shareLatency?.reads.count, 3);
  strictEqual(shareLatency.writes.count, 3);
  ok((stages?.[0]?.counts.reads ?? 0) > 3);
});
