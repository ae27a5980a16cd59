/**
 * The conformance suite of devices: every device passes it at every level, with one call in a test
 * file.
 *
 *   deviceConformance("null", ({ reactor }) => NullDevice.open(reactor, OPTIONS));
 *
 * Each test opens a device of its own on a reactor of its own and closes both. Devices need 8 MiB
 * at least; those opened must read as zeroes at first.
 */

import { test } from "node:test";
import {
  type TestLevel,
  type TestReactor,
  USUAL_LEVELS,
  withReactor,
} from "../reactor/test-reactor.ts";
import * as basics from "./conformance/basics.ts";
import * as closing from "./conformance/closing.ts";
import * as compare from "./conformance/compare.ts";
import { Kit } from "./conformance/kit.ts";
import { randomOperationsMatchTheModel } from "./conformance/random-operations.ts";
import * as transfers from "./conformance/transfers.ts";
import * as zeroes from "./conformance/zeroes.ts";
import type { Device } from "./device.ts";

/** Makes a fresh device, full of zeroes, on the test's reactor. */
export type OpenDevice = (test: TestReactor) => Promise<Device>;

export interface DeviceConformanceOptions {
  /** False: writes vanish, everything reads as zeroes. Default true. */
  readonly keepsData?: boolean;
  /** False: the tests' requests cannot pin their memory. Default true. */
  readonly pinsMemory?: boolean;
  /** Default: USUAL_LEVELS. */
  readonly levels?: readonly TestLevel[];
  /** The same device opened so that it states `readOnly`. */
  readonly openReadOnly?: OpenDevice;
  /** Of one test; default one minute. */
  readonly timeoutMs?: number;
}

type Case = readonly [title: string, run: (kit: Kit) => Promise<void>];

const TIMEOUT_MS = process.env.PENSTOCK_LONG === "1" ? 1_200_000 : 60_000;

/** Registers the suite's tests, named "NAME at LEVEL: ...". */
export function deviceConformance(
  name: string,
  openDevice: OpenDevice,
  options: DeviceConformanceOptions = {},
): void {
  const { openReadOnly } = options;
  for (const level of options.levels ?? USUAL_LEVELS) {
    for (const each of CASES) register(name, level, each, openDevice, options);
    if (openReadOnly !== undefined) register(name, level, READ_ONLY_CASE, openReadOnly, options);
  }
}

function register(
  name: string,
  level: TestLevel,
  [title, run]: Case,
  open: OpenDevice,
  options: DeviceConformanceOptions,
): void {
  const settings = { timeout: options.timeoutMs ?? TIMEOUT_MS };
  test(`${name} at ${level}: ${title}`, settings, () =>
    withReactor(level, async (place) => {
      const device = await open(place);
      const keepsData = options.keepsData ?? true;
      const pinsMemory = options.pinsMemory ?? true;
      const kit = new Kit({ device, seed: place.seed, keepsData, pinsMemory });
      await run(kit);
      await kit.finish();
    }),
  );
}

const READ_ONLY_CASE: Case = [
  "changes are refused when read-only",
  basics.changesAreRefusedWhenReadOnly,
];

const CASES: readonly Case[] = [
  ["what it states makes sense", basics.infoMakesSense],
  ["every operation is as declared", basics.operationsAreAsDeclared],
  ["bad ranges and segments get their status", basics.badRequestsGetTheirStatus],
  ["flush with a length and block status without a list are invalid", basics.otherFieldsAreChecked],
  ["a long chain of requests does not grow the stack", basics.longChainsDoNotGrowTheStack],
  ["1,000 requests at once complete once each", basics.manyAtOnceCompleteOnce],
  ["flush and FUA succeed and keep the data", basics.flushAndFuaSucceed],
  ["never-written ranges read as zeroes", transfers.neverWrittenReadsAsZeroes],
  ["writes are read back at start, boundaries and end", transfers.writesAreReadBackAnywhere],
  ["1 to 256 segments in any memory work", transfers.segmentsOfAnyNumberWork],
  ["memory around the segments is left alone", transfers.memoryAroundSegmentsIsLeftAlone],
  ["overlapping writes leave whole sectors", transfers.overlappingWritesLeaveWholeSectors],
  ["discarded ranges read as zeroes", zeroes.discardReadsAsZeroes],
  ["write-zeroes reads as zeroes, with every flag", zeroes.writeZeroesReadsAsZeroes],
  ["block status covers its range and is true", zeroes.blockStatusIsTruthful],
  ["block status stops at one extent when asked", zeroes.blockStatusCanStopAtOneExtent],
  ["compare names the first difference", compare.compareNamesTheFirstDifference],
  ["compare-and-write is all or nothing", compare.compareAndWriteIsAllOrNothing],
  ["one of many compare-and-writes wins", compare.oneCompareAndWriteWins],
  ["close drains what runs and refuses what comes", closing.closeDrainsAndRefuses],
  ["lent memory is the content", closing.lentMemoryIsTheContent],
  ["lent memory holds close back", closing.lentMemoryHoldsCloseBack],
  ["random operations match the model", randomOperationsMatchTheModel],
];
