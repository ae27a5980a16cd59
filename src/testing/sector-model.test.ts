// Tests of the model itself: what one disk can have answered passes, what none can is found.

import { match, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { GARBAGE, sectorBytes, SectorModel, type Tearing } from "./sector-model.ts";

const SECTORS = 8;

function makeModel(tearing: Tearing = "never"): SectorModel {
  return new SectorModel({ sectorCount: SECTORS, tearing });
}

function see(model: SectorModel, first: number, ...values: number[]): void {
  model.end(model.begin(first, values.length), Int32Array.from(values));
}

function write(model: SectorModel, written: number, first: number, count = 1): void {
  model.end(model.begin(first, count, { written }));
}

test("the model accepts what a disk answers in turn, and keeps it", () => {
  const model = makeModel();
  see(model, 0, 0, 0);
  write(model, 1, 1, 2);
  see(model, 0, 0, 1, 1, 0);
  strictEqual(model.settle(), null);
  write(model, 0, 2);
  see(model, 1, 1, 0);
  strictEqual(model.settle(), null);
  strictEqual([...model.values].join(), "0,1,0,0,0,0,0,0");
});

test("the model finds lost, early, stale and strange values", () => {
  const cases: readonly [string, (model: SectorModel) => void, RegExp][] = [
    ["a write is lost", (model) => see(model, 3, 0), /sector 3 held zeroes, expected write 5/],
    ["a value from nowhere", (model) => see(model, 4, 9), /sector 4 held write 9, expected zeroes/],
    ["noise", (model) => see(model, 4, GARBAGE), /sector 4 held garbage/],
    [
      "an overwritten value comes back",
      (model) => {
        write(model, 6, 3);
        see(model, 3, 5);
      },
      /sector 3 held write 5, expected write 6/,
    ],
    [
      "new, then old, while the write goes on",
      (model) => {
        const late = model.begin(3, 1, { written: 6 });
        see(model, 3, 6);
        see(model, 3, 5);
        model.end(late);
        see(model, 3, 6);
      },
      /sector 3: value 5 was current/,
    ],
    [
      "two exchange the same value",
      (model) => {
        const notes = [6, 7].map((written) => model.begin(3, 1, { written, isExclusive: true }));
        for (const note of notes) model.end(note, Int32Array.from([5]));
        see(model, 3, 7);
      },
      /sector 3: write 6 replaced write 5, with write 7 between|7 replaced write 5, with write 6/,
    ],
    [
      "a write is lost between the two halves of an exchange",
      (model) => {
        const exchange = model.begin(3, 1, { written: 7, isExclusive: true });
        write(model, 6, 3);
        model.end(exchange, Int32Array.from([5]));
        see(model, 3, 7);
      },
      /sector 3: write 7 replaced write 5, with write 6 between them/,
    ],
    ["nobody looked", (model) => write(model, 6, 3), /sector 3 was not read/],
  ];
  for (const [name, act, expected] of cases) {
    const model = makeModel();
    write(model, 5, 3);
    see(model, 3, 5);
    strictEqual(model.settle(), null, name);
    act(model);
    match(model.settle() ?? "nothing", expected, name);
  }
});

test("the model accepts every serialization of what overlaps in time", () => {
  for (const values of [
    [0, 1, 1],
    [1, 2, 2],
    [2, 1, 1],
    [0, 0, 2],
  ]) {
    const model = makeModel();
    const [seen = 0, later = 0, last = 0] = values;
    const [one, two] = [1, 2].map((written) => model.begin(0, 1, { written }));
    see(model, 0, seen);
    see(model, 0, later);
    for (const note of [one, two]) if (note !== undefined) model.end(note);
    see(model, 0, last);
    strictEqual(model.settle(), null, values.join());
    strictEqual(model.values[0], last);
  }
});

test("the model tells another sector's data, and accepts torn ones only beside a write", () => {
  const model = makeModel("mixed");
  const found = model.decode(
    model.begin(0, 2),
    Buffer.concat([sectorBytes(3, 0), sectorBytes(3, 0)]),
  );
  strictEqual([...found].join(), `3,${GARBAGE}`);
  const torn = Buffer.concat([sectorBytes(1, 0).subarray(0, 100), Buffer.alloc(412)]);
  const noise = Buffer.alloc(512, 7);
  const cases: readonly [Tearing, Uint8Array, isRacing: boolean, isFine: boolean][] = [
    ["never", torn, true, false],
    ["mixed", torn, true, true],
    ["mixed", torn, false, false],
    ["mixed", noise, true, false],
    ["noise", noise, true, true],
    ["noise", noise, false, false],
  ];
  for (const [tearing, bytes, isRacing, isFine] of cases) {
    const racy = makeModel(tearing);
    const late = racy.begin(0, 1, { written: 1 });
    if (!isRacing) racy.end(late);
    const note = racy.begin(0, 1);
    racy.end(note, racy.decode(note, bytes));
    if (isRacing) racy.end(late);
    see(racy, 0, 1);
    const violation = racy.settle();
    strictEqual(violation === null, isFine, `${tearing} ${isRacing}: ${violation}`);
  }
});
