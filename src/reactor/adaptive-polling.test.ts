// Tests of how a reactor decides to look, to block or to sleep: feeds it patterns of load.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AdaptivePolling, SHORT_GAP_MS } from "./adaptive-polling.ts";

/** The same gap, often enough for the averages to settle. */
function feed(polling: AdaptivePolling, load: { gap: number; bulk?: boolean }): void {
  for (let round = 0; round < 200; round++) {
    polling.noteBulk(load.bulk ?? false);
    polling.noteGap(load.gap);
  }
}

test("AdaptivePolling neither looks nor blocks before it knows anything", () => {
  const polling = new AdaptivePolling();
  assert.equal(polling.windowMs(), 0);
  assert.equal(polling.blockMs(), 0);
});

test("AdaptivePolling looks when single requests follow each other closely", () => {
  const polling = new AdaptivePolling();
  feed(polling, { gap: 0.018 });
  assert.ok(polling.windowMs() >= 0.018, "the window covers the usual gap");
  assert.ok(polling.windowMs() <= SHORT_GAP_MS);
});

test("AdaptivePolling blocks when gaps are too long to look and too short to sleep", () => {
  const polling = new AdaptivePolling();
  feed(polling, { gap: 0.2 });
  assert.equal(polling.windowMs(), 0);
  assert.ok(polling.blockMs() > 0);
});

test("AdaptivePolling does not look for the rest of large transfers", () => {
  const polling = new AdaptivePolling();
  feed(polling, { gap: 0.018, bulk: true });
  assert.equal(polling.windowMs(), 0);
  assert.ok(polling.blockMs() > 0);
});

test("AdaptivePolling lets an idle reactor sleep, whatever it did before", () => {
  const polling = new AdaptivePolling();
  feed(polling, { gap: 0.018 });
  feed(polling, { gap: 1000 });
  assert.equal(polling.windowMs(), 0);
  assert.equal(polling.blockMs(), 0);
});

test("AdaptivePolling forgets one long pause, and learns again after many", () => {
  const polling = new AdaptivePolling();
  feed(polling, { gap: 0.018 });
  polling.noteGap(5000);
  assert.ok(polling.windowMs() > 0);
  feed(polling, { gap: 1000 });
  feed(polling, { gap: 0.018 });
  assert.ok(polling.windowMs() > 0);
});

test("AdaptivePolling with a window of 0 never looks", () => {
  const polling = new AdaptivePolling(0);
  feed(polling, { gap: 0.018 });
  assert.equal(polling.windowMs(), 0);
});
