// Tests of the checker: hand-written histories of one sector that a disk may have, and that none
// may have. See HistoryScript for their language.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import type { HistoryOptions } from "./history.ts";
import { HistoryScript } from "./history-script.ts";

type Options = Partial<HistoryOptions>;
type Case = readonly [text: string, options?: Options];

function kinds([text, options]: Case): string[] {
  const script = new HistoryScript(options);
  const found = script.run(text).map(({ kind }) => kind);
  strictEqual(script.history.undecided, 0, text);
  return found;
}

function allows(cases: readonly Case[]): void {
  for (const each of cases) deepStrictEqual(kinds(each), [], each[0]);
}

function refuses(cases: readonly Case[], kind = "data"): void {
  for (const each of cases) deepStrictEqual(kinds(each), [kind], each[0]);
}

test("History allows what one register can have answered", () => {
  allows([
    ["r1=0 w1 r2=1 w2 r3=2"],
    ["w1( r1=0 r2=1 w1)"],
    ["w1( r1( w1) r1=0"],
    ["w1( r1( w1) r1=1"],
    ["w1( w2( w1) w2) r1=1 r2=1"],
    ["w1( w2( w1) w2) r1=2"],
    ["w1( w2( w3( w1) w2) w3) r1=2"],
    ["w1( w2( r1=2 r2=1 w2) w1)"],
    ["w1( w2( r1( r2=1 r3=2 r1=1 w2) w1)"],
    ["w1 z1( r1=1 r2=0 z1) r3=0"],
    ["w1( r1?"],
  ]);
});

test("History refuses what no register can have answered", () => {
  refuses([
    ["w1 r1=0"],
    ["w1 w2 r1=1"],
    ["w1( r1=1 r2=0 w1)"],
    ["w1( w2( w1) w2) r1=1 r2=2"],
    ["w1( w2( r1=2 r2=1 r3=2 w1) w2)"],
    ["w1 z1 r1=1"],
    ["r1=g"],
    ["w1( r1=g w1)"],
    ["w1 w2( w3( r1=1 w2) r2=1 w3)"],
  ]);
});

test("History allows a write that failed to have happened or not, and stable once seen", () => {
  allows([
    ["w1 w2! r1=1"],
    ["w1 w2! r1=2"],
    ["w1 w2( w3( w2! w3) r1=2"],
    ["w1 w2( w3( w2! w3) r1=3"],
    ["w1 w2~ r1=1 r2=2"],
    ["w1 w2~ w3 r1=3 r2=2"],
    ["w1 w2~ w3 w2x r1=2"],
    ["w1 w2( w2x r1=1"],
  ]);
  refuses([
    ["w1 w2! r1=1 r2=2"],
    ["w1 w2! r1=2 r2=1"],
    ["w1 w2! w3 r1=2"],
    ["w1 w2~ w2x r1=1 r2=2"],
    ["w1 w2~ w3 r1=2 r2=3"],
    ["w1 w2~ w3 w2x r1=3 r2=2"],
  ]);
});

test("History lets power loss take what was not flushed, and nothing else", () => {
  allows([
    ["w1 told-loss r1=0"],
    ["w1 told-loss r1=1"],
    ["w1 f w2 w3 told-loss r1=1"],
    ["w1 f w2 w3 told-loss r1=2"],
    ["w1 f w2 w3 told-loss r1=3 r2=3"],
    ["w1 w2( f w2) told-loss r1=1"],
    ["w1( f( w1) f) told-loss r1=0"],
    ["w1 f( told-loss r1=0"],
    ["w1 f? told-loss r1=0"],
    ["w1 w2( w3( w3) w2! told-loss r1=2"],
    ["w1 f w2( told-loss r1=2"],
    ["w1 f w2( w2! told-loss r1=2"],
    ["w1 told-loss r1=0 w2 told-loss r2=0"],
    ["w1 f told-loss r1=0", { flushLies: true }],
  ]);
  refuses([
    ["w1 f told-loss r1=0"],
    ["w1 f w2 told-loss r1=0"],
    ["w1 w2 f told-loss r1=1"],
    ["w1 told-loss r1=0 r2=1"],
    ["w1 told-loss r1=1 r2=0"],
    ["w1 told-loss r1=1 told-loss r2=0"],
    ["w1 f w2 told-loss r1=1 told-loss r2=2"],
    ["W1 told-loss r1=0"],
    ["w1 W2 w3 told-loss r1=1"],
    ["w1 w2( f( f) w2) w3 f2 told-loss r1=2"],
    ["w1 f w2( told-loss w2x r1=0"],
    ["w1 f told-loss r1=g", { flushLies: true }],
  ]);
});

test("History allows a failed write to be what power loss leaves, where it may have been", () => {
  allows([["w1 w2! told-loss r1=2"], ["w1 w2! w3 told-loss r1=2"], ["w1 w2! w3 told-loss r1=1"]]);
  refuses([
    ["w1 w2! w3 f told-loss r1=2"],
    ["w1 w2! r1=2 f told-loss r2=0"],
    ["w1 w2! f w3 f2 told-loss r1=2"],
  ]);
});

test("History wants a loss reported by the flush that should cover what is lost", () => {
  allows([
    ["w1 loss r1=0 f$ f2"],
    ["w1 loss r1=1 f"],
    ["w1 f( loss f) r1=1"],
    ["w1 loss r1=0 w2 f"],
    ["w1( loss w1) r1=1 f"],
    ["w1( loss w1) f$ r1=0"],
    ["w1( r1=1 loss w1) r2=0 f$"],
    ["w1( loss r1=0 r2=1 w1) f"],
    ["w1( w2( r1=1 r2=2 loss w1) w2) f r3=2"],
    ["w1 f( f) loss r1=1 f2"],
    ["w1 wipe r1=0 f$ f2"],
    ["w1 f wipe r1=0 f2"],
    ["w1( wipe r1=0 w1) f$"],
    ["W1( loss r1=0 r2=1 W1) f"],
    ["w1 loss f?"],
    ["c2:0( W1( r1=2 W1) loss c2) r2=1 f"],
    ["w1 loss f( f2( f$ f2$ r1=0"],
  ]);
  refuses([["w1( loss w1) r1=0 f"], ["w1 loss r1=0 f( w2 f)"]], "loss-not-reported");
  refuses([
    ["w1 f loss r1=0"],
    ["w1 f( f) loss f2$ r1=0"],
    ["w1( loss W2 w1) r1=0"],
    ["W1( loss W1) r1=0"],
    ["w1( r1=1 loss w1) w2 r2=1"],
  ]);
  // The state that is left says the value must still be there.
  refuses([["w1 loss f r1=0"], ["w1 f( loss f) r1=0"], ["w1 loss f( f2( f$ f2) r1=0"]]);
});

test("History takes back what a failed sync may have lost, until it is written again", () => {
  allows([
    ["w1 f! told-loss r1=0"],
    ["w1 f! f2 told-loss r1=0"],
    ["w1 f! f2 r1=1 told-loss r2=0"],
    ["w1 f! drop r1=0"],
    ["w1 f! drop r1=1"],
    ["w1 f! w2 f2 drop told-loss r1=2"],
    ["w1( f! w1) f2 told-loss r1=0"],
    ["w1 f! loss r1=0 f2"],
    ["w1 drop r1=1"],
  ]);
  refuses([
    ["w1 f f2! told-loss r1=0"],
    ["w1 f! w2 f2 told-loss r1=1"],
    ["w1 f! r1=0"],
    ["w1 f! drop r1=0 r2=1"],
    ["w1 drop r1=0"],
    ["w1 f f2! drop r1=0"],
  ]);
});

test("History takes compare-and-write as one moment", () => {
  allows([
    ["w1 c2:1 r1=2"],
    ["w1 c2:1( c3:1( c2) c3! r1=2"],
    ["w1( c2:1( w1) c2) r1=2"],
    ["w1 c2:1( c3:2( c2) c3) r1=3"],
    ["w1 c2:1! r1=1"],
    ["w1 f z1 c2:0( loss c2) r1=2"],
  ]);
  refuses([
    ["w1 c2:0"],
    ["w1 c2:1( c3:1( c2) c3)"],
    ["w1 c2:1( w3 c2) r1=1"],
    ["w1 w2 c3:1! r1=3"],
  ]);
});

test("History lets rot show garbage until the sector is written again", () => {
  allows([["w1 rot r1=g"], ["w1 rot w2 r1=2"], ["w1 f rot told-loss r1=g"]]);
  refuses([["w1 rot w2 r1=g"], ["w1 rot r1=0"]]);
});

test("History lets a write that is sent again happen again, only where that may be", () => {
  const text = "w1( r1=1 w2 r2=2 r3=1 w1)";
  allows([[text, { repeats: true }]]);
  refuses([[text]]);
});

test("History lets a read be torn by a write beside it, only where memory is lent", () => {
  const torn = "w1 w2( r1=g w2) r2=2";
  allows([[torn, { tears: true }]]);
  refuses([[torn], ["w1 r1=g w2", { tears: true }]]);
});
