// Tests of a pipe's drawings against golden files; PENSTOCK_UPDATE_GOLDEN=1 writes them anew.

import { ok, strictEqual } from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { graphSvg } from "./graph-svg.ts";
import { graphText } from "./graph-text.ts";
import type { PipeGraph } from "./pipe-graph.ts";
import type { StageListing } from "./replumb.ts";

const GOLDEN = join(import.meta.dirname, "golden");
const GIB = 2 ** 30;

function stage(place: string, kind: string, more: Partial<StageListing> = {}): StageListing {
  return {
    id: more.label ?? place,
    place,
    label: null,
    kind,
    text: kind,
    sizeBytes: 10 * GIB,
    blockSizeBytes: 512,
    readOnly: false,
    inFlight: 0,
    fixedBecause: null,
    details: {},
    legs: [],
    ...more,
  };
}

const PLAIN: PipeGraph = {
  name: "vol1",
  state: "ready",
  share: "nbd://127.0.0.1:10809/vol1",
  text: "",
  failure: "",
  stages: [stage("1", "file", { text: "file:///var/lib/disk.img?size=10GiB", readOnly: true })],
};

const FAULT = {
  kind: "timeout",
  reason: "write of 4096 bytes at 0: no answer in 5000 ms",
  time: "2026-11-21T10:00:00.000Z",
  operation: "write",
  offset: 0,
};

const MIRROR: PipeGraph = {
  ...PLAIN,
  stages: [
    stage("1", "mirror", {
      text: "mirror?timeout=5s",
      details: {
        children: [{ state: "in-sync" }, { state: "faulted", fault: FAULT }, { state: "in-sync" }],
      },
      legs: [
        [
          stage("1.1.1", "file", {
            text: "file:///var/lib/penstock/disks/some%20very/long/path/vol1.img?size=10GiB",
          }),
          stage("1.1.2", "delay", { text: "delay#slow?read=1ms", label: "slow", inFlight: 2 }),
        ],
        [stage("1.2.1", "nbd", { text: "nbd://node-b:10809/vol1" })],
        [
          stage("1.3.1", "mirror", {
            legs: [[stage("1.3.1.1.1", "null")], [stage("1.3.1.2.1", "null")]],
          }),
        ],
      ],
    }),
    stage("2", "crypt", { text: "crypt?key=file:/etc/k" }),
    stage("3", "limit", { text: "limit#gold?iops=500", label: "gold", inFlight: 7 }),
  ],
};

const FAILED: PipeGraph = {
  ...PLAIN,
  state: "failed",
  stages: [],
  share: "",
  text: "file:///nowhere/a | nbd://127.0.0.1:10809/vol1",
  failure: "not-found: cannot open /nowhere/a: no such file or directory (ENOENT)",
};

const GRAPHS = { plain: PLAIN, mirror: MIRROR, failed: FAILED } as const;

for (const [name, graph] of Object.entries(GRAPHS)) {
  test(`the drawings of a ${name} pipe are as they were reviewed`, () => {
    compare(`${name}.txt`, `${graphText(graph)}\n`);
    compare(`${name}.svg`, graphSvg(graph));
  });
}

function compare(file: string, drawn: string): void {
  const path = join(GOLDEN, file);
  if (process.env.PENSTOCK_UPDATE_GOLDEN === "1") writeFileSync(path, drawn);
  strictEqual(
    drawn,
    readFileSync(path, "utf8"),
    `${file}: look at it, then update the golden file`,
  );
}

test("a drawing of a mirror has each leg's state, and only the faulted leg in red", () => {
  const svg = graphSvg(MIRROR);
  const red = '#fdecec"';
  strictEqual(svg.split(red).length - 1, 1);
  ok(svg.includes("leg 2: faulted: 2026-11-21T10:00:00.000Z write of 4096 bytes at 0"));
  ok(svg.includes("leg 1: in-sync"));
  ok(!graphSvg(PLAIN).includes(red));
});

test("a picture is well-formed whatever names and texts hold", () => {
  const nasty = `<a href="x">&amp;'\u0000\u001b\ud800]]>--`;
  const graph: PipeGraph = {
    name: nasty,
    state: nasty,
    share: nasty,
    text: nasty,
    failure: nasty,
    stages: [stage("1", nasty, { text: nasty, label: nasty, legs: [[stage("1.1.1", nasty)]] })],
  };
  for (const each of [graph, { ...graph, stages: [] }]) {
    const svg = graphSvg(each);
    // Every tag is one of ours, every ampersand begins an entity, nothing is unprintable.
    const tags = svg.match(/<\/?[^\s>]*/g) ?? [];
    const known = /^<\/?(?:svg|title|defs|marker|path|rect|text|g)$/;
    strictEqual(tags.filter((tag) => !known.test(tag)).join(), "");
    strictEqual(/&(?!amp;|lt;|gt;|quot;|#39;)/.test(svg), false);
    strictEqual(/[^\P{C}\n]/u.test(svg), false);
    strictEqual(/[^\P{C}\n]/u.test(graphText(each)), false);
  }
});

test("a picture loads nothing from elsewhere", () => {
  const links = graphSvg(MIRROR).match(/(?:href|src|url)\s*[=(]\s*["']?[^)"']*/g) ?? [];
  strictEqual(
    links.every((link) => link === "url(#arrow"),
    true,
    links.join(),
  );
});
