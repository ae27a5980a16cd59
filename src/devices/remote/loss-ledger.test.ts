// Tests of the ledger of changes that a server may have lost.

import { strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { LossLedger } from "./loss-ledger.ts";

interface Flush {
  readonly base: number;
  readonly cover: number;
}

const submit = (ledger: LossLedger): Flush => ({
  base: ledger.settled,
  cover: ledger.acknowledged,
});
/** Its client is told at once. */
const isLost = (ledger: LossLedger, { base, cover }: Flush): boolean => {
  const mustReport = ledger.mustReport(base, cover);
  if (mustReport) ledger.reported(cover);
  return mustReport;
};

test("LossLedger reports a loss to the next flush, once", () => {
  const ledger = new LossLedger();
  ledger.acknowledged = 3;
  ledger.noteLoss();
  strictEqual(isLost(ledger, submit(ledger)), true);
  strictEqual(isLost(ledger, submit(ledger)), false);
  ledger.acknowledged++;
  strictEqual(isLost(ledger, submit(ledger)), false);
});

test("LossLedger reports nothing when all was flushed, or nothing was changed", () => {
  const ledger = new LossLedger();
  ledger.noteLoss();
  strictEqual(isLost(ledger, submit(ledger)), false);
  ledger.acknowledged = 3;
  const flush = submit(ledger);
  strictEqual(isLost(ledger, flush), false);
  ledger.flushed(flush.cover);
  ledger.noteLoss();
  strictEqual(isLost(ledger, submit(ledger)), false);
});

test("LossLedger reports a loss to each flush that was on its way", () => {
  const ledger = new LossLedger();
  ledger.acknowledged = 3;
  const first = submit(ledger);
  const second = submit(ledger);
  ledger.noteLoss();
  strictEqual(isLost(ledger, first), true);
  const third = submit(ledger);
  strictEqual(isLost(ledger, second), true);
  strictEqual(isLost(ledger, third), false);
});

test("LossLedger reports what was acknowledged behind a flush to the next one", () => {
  const ledger = new LossLedger();
  ledger.acknowledged = 3;
  const first = submit(ledger);
  ledger.acknowledged = 5;
  ledger.noteLoss();
  strictEqual(isLost(ledger, first), true);
  strictEqual(isLost(ledger, submit(ledger)), true);
  strictEqual(isLost(ledger, submit(ledger)), false);
});

test("LossLedger reports a second loss to those that have heard of the first", () => {
  const ledger = new LossLedger();
  ledger.acknowledged = 2;
  const early = submit(ledger);
  ledger.noteLoss();
  strictEqual(isLost(ledger, submit(ledger)), true);
  ledger.acknowledged = 4;
  ledger.noteLoss();
  strictEqual(isLost(ledger, early), true, "from before the first report");
  strictEqual(isLost(ledger, submit(ledger)), true);
  strictEqual(isLost(ledger, submit(ledger)), false);
});

test("LossLedger reports a loss to flushes that are submitted until somebody is told of it", () => {
  const ledger = new LossLedger();
  ledger.acknowledged = 3;
  const first = submit(ledger);
  ledger.noteLoss();
  strictEqual(ledger.mustReport(first.base, first.cover), true);
  const second = submit(ledger);
  ledger.reported(first.cover);
  strictEqual(ledger.mustReport(second.base, second.cover), true);
  strictEqual(isLost(ledger, submit(ledger)), false);
});
