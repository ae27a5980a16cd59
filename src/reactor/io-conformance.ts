/**
 * The conformance suite of Io: every level passes it, with one call in a test file.
 *
 *   ioConformance("portable", () => PortableIo.create());
 *
 * Each test makes an Io of its own and closes it, so nothing is shared between tests.
 */

import { networkInterfaces } from "node:os";
import { test } from "node:test";

import { ADDRESS_KINDS, type AddressKind, addressOf } from "./conformance/connections.ts";
import * as fileData from "./conformance/file-data.ts";
import * as files from "./conformance/files.ts";
import {
  type CreateIo,
  Harness,
  type IoConformanceOptions,
  type IoFeature,
} from "./conformance/harness.ts";
import * as listeners from "./conformance/listeners.ts";
import * as streams from "./conformance/streams.ts";
import * as turns from "./conformance/turns.ts";
import type { SocketAddress } from "./io.ts";

export type { CreateIo, IoConformanceOptions } from "./conformance/harness.ts";

const TEST_TIMEOUT_MS = 60_000;
/** For closing what a failed test leaves. */
const CLEAN_UP_MS_MAX = 500;

interface Case {
  readonly title: string;
  readonly needs?: readonly IoFeature[];
  readonly run: (h: Harness) => Promise<void>;
}

/**
 * Registers the suite's tests, named "NAME: ...".
 * @param createIo makes a fresh Io, whose turn handler is not set
 */
export function ioConformance(
  name: string,
  createIo: CreateIo,
  options: IoConformanceOptions = {},
): void {
  const cases = [...TURN_CASES, ...FILE_CASES, ...LISTENER_CASES, ...streamCases()];
  for (const each of cases) {
    const { title, needs, run } = each;
    // What a level lacks by its nature is no test of it, rather than a skipped one.
    if (needs?.some((feature) => options.lacks?.[feature] !== undefined) === true) continue;
    const settings = { timeout: TEST_TIMEOUT_MS, skip: skipReason(needs ?? []) };
    test(`${name}: ${title}`, settings, async () => {
      const io = await createIo();
      const h = new Harness(io, title, options);
      // As in the product, where each Io has its reactor; tests of turns bring their own.
      if (!TURN_CASES.includes(each)) io.setTurnHandler({ runTurn: () => false });
      const done = runCase(h, run);
      await (options.runUntil === undefined ? done : options.runUntil(io, done));
    });
  }
}

async function runCase(h: Harness, run: Case["run"]): Promise<void> {
  try {
    await run(h);
  } catch (error) {
    // What is left over would only hide the error; it gets a moment so as not to meet a next test.
    const moment = new Promise((resolve) => setTimeout(resolve, CLEAN_UP_MS_MAX).unref());
    await Promise.race([h.close().catch(() => undefined), moment]);
    throw error;
  }
  await h.close();
}

function skipReason(needs: readonly IoFeature[]): string | false {
  const lacksIpv6 = needs.includes("ipv6") && !machineHasIpv6();
  return lacksIpv6 ? "this machine has no IPv6 loopback address" : false;
}

function machineHasIpv6(): boolean {
  const all = Object.values(networkInterfaces()).flat();
  return all.some((entry) => entry?.address === "::1");
}

const TURN_CASES: readonly Case[] = [
  { title: "requestTurn runs the turn handler", run: turns.turnRunsWhenRequested },
  { title: "a turn requested inside a turn runs", run: turns.turnRequestedInsideTurnRuns },
  { title: "busy turns let timers and promises in", run: turns.busyTurnsLetTimersIn },
  { title: "defer runs callbacks outside of turns", run: turns.deferRunsOutsideTurns },
  { title: "timers fire in order and never early", run: turns.timersFireInOrder },
  { title: "cancelled timers do not fire", run: turns.cancelledTimersDoNotFire },
];

const FILE_CASES: readonly Case[] = [
  { title: "openFile creates a file of the asked size", run: files.createsFileOfAskedSize },
  { title: "openFile creates sparse", needs: ["realFiles"], run: files.createsSparseFile },
  { title: "openFile grows a smaller file", run: files.growsSmallerFile },
  { title: "sizeOfFile says what it is by now", run: files.sizeIsThatOfNow },
  { title: "openFile refuses to shrink and names both sizes", run: files.refusesToShrink },
  { title: "openFile takes a file as it is without a size", run: files.opensWithoutSize },
  { title: "openFile says not-found when missing", run: files.missingFileIsNotFound },
  {
    title: "openFile says invalid-file for a directory or a character device",
    needs: ["realFiles"],
    run: files.directoryIsInvalid,
  },
  {
    title: "openFile says permission-denied when forbidden",
    needs: ["realFiles"],
    run: files.forbiddenFileIsPermissionDenied,
  },
  { title: "identity tells files apart", run: files.identityTellsFilesApart },
  { title: "a medium's faults are remembered", run: files.faultsAreRemembered },
  { title: "a writer excludes others and is named", run: files.writerExcludesOthers },
  { title: "readers share and keep writers out", run: files.readersShareAndKeepWritersOut },
  { title: "shared writers keep others out", run: files.sharedWritersKeepOthersOut },
  { title: "direct I/O is there or refused", run: files.directIsThereOrRefused },
  { title: "file data matches a model beyond 4 GiB", run: fileData.matchesModelBeyond4GiB },
  { title: "an advanced vector moves the rest", run: fileData.advancedVectorMovesTheRest },
  { title: "reading past the end is short", run: fileData.readPastEndIsShort },
  { title: "durable writes and syncs complete", run: fileData.durableWriteAndSyncComplete },
  { title: "writing to a read-only file fails", run: fileData.writeToReadOnlyFileFails },
  { title: "an op is reused inside complete", run: fileData.opIsReusedInsideComplete },
  { title: "5,000 operations at once complete", run: fileData.manyOperationsAtOnce },
  { title: "allocate leaves zeroes or is refused", run: fileData.punchAndZeroReadAsZeroes },
  { title: "seek agrees with the content", run: fileData.seekAgreesWithContent },
];

const LISTENER_CASES: readonly Case[] = [
  { title: "port 0 becomes a real port", run: listeners.portZeroBecomesRealPort },
  { title: "an address in use is named", run: listeners.addressInUseIsNamed },
  { title: "a closed listener frees its address", run: listeners.closedListenerFreesItsAddress },
  { title: "connections outlive their listener", run: listeners.connectionsOutliveTheirListener },
  { title: "accept tells the peer", run: listeners.acceptTellsThePeer },
  { title: "connecting to nobody is refused", run: listeners.nobodyThereIsRefused },
  { title: "connecting can be given up", run: listeners.connectingCanBeGivenUp },
  {
    title: "silence ends after the limit",
    needs: ["realSockets"],
    run: listeners.silenceEndsAfterTheLimit,
  },
  {
    title: "an address of another machine is named",
    needs: ["realSockets"],
    run: listeners.badAddressesAreNamed,
  },
  {
    title: "bad Unix paths are named",
    needs: ["unixSockets", "realSockets"],
    run: listeners.badUnixPathsAreNamed,
  },
  {
    title: "connecting to a missing Unix socket is refused",
    needs: ["unixSockets"],
    run: listeners.missingUnixSocketIsRefused,
  },
  {
    title: "a live Unix socket is in use",
    needs: ["unixSockets"],
    run: listeners.liveUnixSocketIsInUse,
  },
  {
    title: "a Unix socket is unlinked at close",
    needs: ["unixSockets", "realSockets"],
    run: listeners.unixSocketIsUnlinkedAtClose,
  },
  {
    title: "a stale Unix socket is replaced",
    needs: ["unixSockets", "realSockets"],
    run: listeners.staleUnixSocketIsReplaced,
  },
  {
    title: "an ordinary file is never replaced by a socket",
    needs: ["unixSockets", "realSockets"],
    run: listeners.ordinaryFileIsNotReplaced,
  },
  {
    title: "the peer's reset ends everything",
    needs: ["realSockets"],
    run: listeners.peersResetEndsEverything,
  },
];

const STREAM_TESTS: readonly {
  readonly title: string;
  readonly run: (h: Harness, address: SocketAddress) => Promise<void>;
}[] = [
  { title: "echo in any segmentation", run: streams.echoesAnySegmentation },
  { title: "small messages arrive alone", run: streams.smallMessagesArriveAlone },
  { title: "10 MiB both ways at once", run: streams.carriesBothWaysAtOnce },
  { title: "the peer's end comes after its data", run: streams.peersEndComesAfterData },
  { title: "the peer's end ends a receive", run: streams.peersEndEndsReceive },
  { title: "a cancelled receive loses nothing", run: streams.cancelledReceiveLosesNothing },
  { title: "cancel ends an idle receive", run: streams.cancelEndsIdleReceive },
  { title: "endSocket ends sends, not receives", run: streams.endEndsSendsOnly },
  { title: "shutdownSocket ends a receive", run: streams.shutdownEndsReceive },
  { title: "shutdownSocket ends a send", run: streams.shutdownEndsSend },
  { title: "bytes that nobody reads push back", run: streams.unreadBytesPushBack },
  { title: "many connections at once", run: streams.servesManyConnectionsAtOnce },
];

const NEEDS_BY_KIND: Readonly<Record<AddressKind, readonly IoFeature[]>> = {
  "tcp over IPv4": [],
  "tcp over IPv6": ["ipv6"],
  unix: ["unixSockets"],
};

function streamCases(): Case[] {
  return STREAM_TESTS.flatMap(({ title, run }) =>
    ADDRESS_KINDS.map((kind) => ({
      title: `${title}, ${kind}`,
      needs: NEEDS_BY_KIND[kind],
      run: (h: Harness) => run(h, addressOf(h, kind)),
    })),
  );
}
